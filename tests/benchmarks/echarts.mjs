// Renders what it is asked on its input, one JSON line after another, as FastGPT's chart tool does; says how long each took.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { performance } from "node:perf_hooks";

const echarts = createRequire(process.argv[2])("echarts");

for await (const line of createInterface({ input: process.stdin })) {
  const { option, width, height } = JSON.parse(line);
  const began = performance.now();
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  const milliseconds = performance.now() - began;
  process.stdout.write(JSON.stringify({ milliseconds, characters: svg.length, rss: process.memoryUsage.rss(), version: echarts.version }) + "\n");
}
