"""Tests of pages for people."""
