"""Figures read from what people write, and nothing read where it is not plain."""

import time

import pytest

from core.charts.figures import figures, numbers_in, quoted


@pytest.mark.parametrize(
    ("text", "labels", "values"),
    [
        ("Draw a bar chart of apples 3, pears 5, plums 2", ["apples", "pears", "plums"], [3, 5, 2]),
        ("Make a pie chart: rent 1,200, food 600.5, fun -20", ["rent", "food", "fun"], [1200, 600.5, -20]),
        ("Draw a donut chart with 40% Chrome, 35% Firefox and 25% Safari", ["Chrome", "Firefox", "Safari"], [40, 35, 25]),
        ("I sold 12 cakes, 30 cookies and 7 pies. Draw a bar chart.", ["cakes", "cookies", "pies"], [12, 30, 7]),
        ("Bar chart please: Anna has 4 votes, Ben has 9 votes", ["Anna", "Ben"], [4, 9]),
        ("plot 2019=5, 2020 - 8, 2021: 13 as a bar chart", ["2019", "2020", "2021"], [5, 8, 13]),
        ("week 1 had 100 users, week 2 had 140 users", ["week 1", "week 2"], [100, 140]),
        ("apples 3 pears 5 plums 2 as a pie chart", ["apples", "pears", "plums"], [3, 5, 2]),
        ("We had 230 visitors on Monday, 180 on Tuesday", ["Monday", "Tuesday"], [230, 180]),
        ("In Q1 we earned 1.2 million, in Q2 1.5 million", ["Q1", "Q2"], [1.2, 1.5]),
        ("A budget:\n- Housing: $1,500\n- Food: $650", ["Housing", "Food"], [1500, 650]),
        ("name,score\nTom,88\nUma,92", ["Tom", "Uma"], [88, 92]),
        ("Tom,88\nUma,92", ["Tom", "Uma"], [88, 92]),
        ('A chart titled "Revenue 2023" with Jan 100, Feb 110', ["Jan", "Feb"], [100, 110]),
        ("revenue in 2023: Jan 100, Feb 110", ["Jan", "Feb"], [100, 110]),
        ("mountains: Everest 8849 m, K2 8611 m, Mont Blanc 4806 m", ["Everest", "K2", "Mont Blanc"], [8849, 8611, 4806]),
        ("画一个柱状图：苹果 3，梨 5，李子 2", ["苹果", "梨", "李子"], [3, 5, 2]),
        ("我们公司有男员工120人，女员工80人，画一个饼图", ["男员工", "女员工"], [120, 80]),
        ("第一季度销售额120万，第二季度150万", ["第一季度", "第二季度"], [120, 150]),
    ],
)
def test_what_is_plain_is_read(text: str, labels: list[str], values: list[float]) -> None:
    found = figures(text)
    assert found is not None
    assert (list(found.labels), [list(series) for series in found.series.values()]) == (labels, [values])


def test_a_table_may_have_several_series() -> None:
    found = figures("| product | 2022 | 2023 |\n|:--|--:|--:|\n| A | 5 | 7 |\n| B | 6 | 9 |\nMake a chart of it")
    assert found is not None
    assert (found.labels, found.series) == (["A", "B"], {"2022": [5, 6], "2023": [7, 9]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is a bar chart?",
        "Explain line charts in 3 sentences.",
        "When was it invented, 1801 or 1858?",
        "Which chart is best for 5 categories over 12 months?",
        "How do I draw a bar chart in Excel 2019 with 2 axes?",
        "Draw a bar chart with the values 3, 5 and 9",
        "apples 3, apples 5",
        "Paris has 2 million people, Rome has 900 thousand, Oslo has 700 thousand",
        "The town had 300 shops and, after 20 years, 250 of them had closed.",
        "x" * 30_000,
    ],
)
def test_what_is_not_plain_is_left(text: str) -> None:
    assert figures(text) is None


@pytest.mark.parametrize("piece", ["1, ", "a 1 ", "a: ", "| 1 ", "((((", "1,111", "“", "on 1 "])
def test_long_and_odd_texts_take_no_time(piece: str) -> None:
    began = time.perf_counter()
    figures(piece * (100_000 // len(piece)))
    assert time.perf_counter() - began < 5.0


def test_numbers_and_titles() -> None:
    assert numbers_in("Q1: 10.5, K2 is 8,611 m at 9am, v1.2, 3%") == [10.5, 8611, 3]
    assert quoted('a chart “Fruit 2023” of "x"') == "Fruit 2023"
    assert quoted("it's a chart of Ann's") is None
