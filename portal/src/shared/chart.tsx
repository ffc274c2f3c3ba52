import { useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { useEffect, useRef } from 'react';
import { useTranslation } from 'react-i18next';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Series {
  label: string;
  values: (number | null)[];
}

// Each series has a dash of its own too: colour is never alone.
const LOOKS = [
  { light: '#0b4f9e', dark: '#8ec5ff', dash: [] },
  { light: '#b3261e', dark: '#ffb4ab', dash: [6, 4] },
  { light: '#7a3e00', dark: '#ffc98a', dash: [2, 3] },
];

/** Lines over time; `times` are seconds. What it shows must stand elsewhere on the page as text, too. */
export function Chart({ label, times, series }: { label: string; times: number[]; series: Series[] }) {
  const { t, i18n } = useTranslation();
  const dark = useComputedColorScheme('light') === 'dark';
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!host.current || width < 50) return;
    const text = dark ? '#c9c9c9' : '#33383e';
    const grid = { stroke: dark ? '#3b3b3b' : '#dee2e6', width: 1 };
    const time = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'short' });
    const short = new Intl.DateTimeFormat(i18n.language, times.length > 1 && times[times.length - 1] - times[0] > 2 * 86_400 ? { day: 'numeric', month: 'numeric' } : { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
    const number = new Intl.NumberFormat(i18n.language, { maximumFractionDigits: 1 });
    const plot = new uPlot(
      {
        width,
        height: 220,
        axes: [
          { stroke: text, grid, ticks: grid, values: (_, splits) => splits.map((s) => short.format(new Date(s * 1000))) },
          { stroke: text, grid, ticks: grid, size: 60, values: (_, splits) => splits.map((s) => number.format(s)) },
        ],
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        series: [
          { label: t('Time'), value: (_, v) => (v === null || v === undefined ? '–' : time.format(new Date(v * 1000))) },
          ...series.map((s, i) => ({
            label: s.label,
            stroke: dark ? LOOKS[i].dark : LOOKS[i].light,
            dash: LOOKS[i].dash,
            width: 2,
            // A lone value between gaps is no line.
            points: { show: s.values.filter((v) => v !== null).length < 60, size: 5 },
            value: (_: uPlot, v: number | null) => (v === null || v === undefined ? '–' : number.format(v)),
          })),
        ],
      },
      [times, ...series.map((s) => s.values)],
      host.current,
    );
    return () => plot.destroy();
  }, [times, series, width, dark, t, i18n.language]);
  return (
    <figure ref={ref} style={{ margin: 0 }} role="group" aria-label={label}>
      <figcaption>{label}</figcaption>
      <div ref={host} />
    </figure>
  );
}
