// The two charts, by uPlot. Colours are those of the style sheet, and follow it between light and dark.
import uPlot from "uplot";
import { clock } from "./dom";

export interface Chart {
  draw(from: number, to: number, times: number[], values: number[]): void;
}

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const label = (at: number): string => clock(at * 1000).slice(0, at % 60 ? 8 : 5);

/** A chart in this element; `bars` for one bar a value, else a line. Times are seconds since 1970. */
export function chart(element: HTMLElement, bars: boolean): Chart {
  let plot: uPlot | undefined;
  let last: uPlot.AlignedData = [[], []];
  let [begin, end] = [0, 1];
  const size = () => ({ width: Math.max(element.clientWidth, 200), height: Math.max(element.clientHeight, 120) });

  const make = () => {
    plot?.destroy();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const series: uPlot.Series = { stroke: colour("--accent"), fill: `${colour("--accent")}33`, width: 2, points: { show: false } };
    if (bars && uPlot.paths.bars) {
      series.paths = uPlot.paths.bars({ size: [0.7, 40], align: 1 });
    }
    plot = new uPlot(
      {
        ...size(),
        cursor: { show: false },
        legend: { show: false },
        scales: { x: { range: () => [begin, end] }, y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1)] } },
        axes: [{ ...axis, space: 70, values: (_plot, splits) => splits.map(label) }, { ...axis, size: 56 }],
        series: [{}, series],
      },
      last,
      element,
    );
  };

  new ResizeObserver(() => plot?.setSize(size())).observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
  make();
  return {
    draw(from, to, times, values) {
      [begin, end] = [from, to];
      last = [times, values];
      plot?.setData(last);
    },
  };
}
