import { NativeSelect, SimpleGrid, Table, Text, useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useMemo, useRef } from 'react';
import { useTranslation } from 'react-i18next';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { Loaded, Page } from '../shared/ui';
import { useAsk, useMe, type Usage } from './api';

// Each series has a dash of its own too: colour is never alone.
const LOOKS = [
  { light: '#0b4f9e', dark: '#8ec5ff', dash: [] },
  { light: '#b3261e', dark: '#ffb4ab', dash: [6, 4] },
];

/** Lines over time. Everything that they show stands below as a table. */
function Chart({ label, times, series }: { label: string; times: number[]; series: { label: string; values: number[] }[] }) {
  const { t, i18n } = useTranslation();
  const dark = useComputedColorScheme('light') === 'dark';
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!host.current || width < 50) return;
    const text = dark ? '#c9c9c9' : '#33383e';
    const grid = { stroke: dark ? '#3b3b3b' : '#dee2e6', width: 1 };
    const day = new Intl.DateTimeFormat(i18n.language, times[times.length - 1] - times[0] > 2 * 86_400 ? { day: 'numeric', month: 'numeric' } : { hour: '2-digit', minute: '2-digit' });
    const number = new Intl.NumberFormat(i18n.language, { maximumFractionDigits: 1 });
    const plot = new uPlot(
      {
        width,
        height: 200,
        axes: [
          { stroke: text, grid, ticks: grid, values: (_, splits) => splits.map((s) => day.format(new Date(s * 1000))) },
          { stroke: text, grid, ticks: grid, size: 60, values: (_, splits) => splits.map((s) => number.format(s)) },
        ],
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        series: [
          { label: t('Time'), value: (_, v) => (v ? day.format(new Date(v * 1000)) : '–') },
          ...series.map((s, i) => ({ label: s.label, stroke: dark ? LOOKS[i].dark : LOOKS[i].light, dash: LOOKS[i].dash, width: 2, value: (_: uPlot, v: number | null) => (v === null ? '–' : number.format(v)) })),
        ],
      },
      [times, ...series.map((s) => s.values)],
      host.current,
    );
    return () => plot.destroy();
  }, [times, series, dark, width, i18n.language, t]);
  return (
    <figure ref={ref} style={{ margin: 0 }} role="group" aria-label={label}>
      <figcaption>{label}</figcaption>
      <div ref={host} />
    </figure>
  );
}

export function UsagePage() {
  const { t } = useTranslation();
  const me = useMe();
  const navigate = useNavigate();
  const { days = '7' } = useSearch({ strict: false }) as { days?: string };
  const query = useAsk('/usage', { query: { days } }, Boolean(me?.email));
  if (me && !me.email) return <Text>{t('Sign in first.')}</Text>;
  return (
    <Page
      title={t('Usage')}
      actions={(
        <NativeSelect
          aria-label={t('Time range')}
          value={days}
          data={[{ value: '1', label: t('Last day') }, { value: '7', label: t('Last 7 days') }, { value: '30', label: t('Last 30 days') }, { value: '90', label: t('Last 90 days') }]}
          onChange={(e) => void navigate({ to: '/usage', search: { days: e.currentTarget.value } })}
        />
      )}
    >
      <Loaded query={query}>{(usage) => <Shown usage={usage} />}</Loaded>
    </Page>
  );
}

function Shown({ usage }: { usage: Usage }) {
  const { t, i18n } = useTranslation();
  const number = new Intl.NumberFormat(i18n.language);
  const kilobytes = new Intl.NumberFormat(i18n.language, { maximumFractionDigits: 1 });
  const times = useMemo(() => usage.points.map((p) => Date.parse(p.at) / 1000), [usage]);
  const calls = useMemo(() => [{ label: t('Calls'), values: usage.points.map((p) => p.calls) }, { label: t('Errors'), values: usage.points.map((p) => p.blocked + p.failed) }], [usage, t]);
  const traffic = useMemo(() => [{ label: t('Kilobytes'), values: usage.points.map((p) => p.bytes / 1000) }], [usage, t]);
  if (usage.apis.length === 0) return <Text>{t('You made no calls in this time.')}</Text>;
  return (
    <>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Chart label={t('Calls and errors')} times={times} series={calls} />
        <Chart label={t('Bandwidth')} times={times} series={traffic} />
      </SimpleGrid>
      <Table.ScrollContainer minWidth={500}>
        <Table aria-label={t('Usage by API')}>
          <Table.Thead><Table.Tr><Table.Th>{t('API')}</Table.Th><Table.Th ta="right">{t('Calls')}</Table.Th><Table.Th ta="right">{t('Refused')}</Table.Th><Table.Th ta="right">{t('Failed')}</Table.Th><Table.Th ta="right">{t('Kilobytes')}</Table.Th></Table.Tr></Table.Thead>
          <Table.Tbody>
            {usage.apis.map((a, i) => (
              <Table.Tr key={a.name ?? i}>
                <Table.Td>{a.name ? <Link to="/apis/$api" params={{ api: a.name }}>{a.displayName}</Link> : t('Deleted')}</Table.Td>
                <Table.Td ta="right">{number.format(a.calls)}</Table.Td>
                <Table.Td ta="right">{number.format(a.blocked)}</Table.Td>
                <Table.Td ta="right">{number.format(a.failed)}</Table.Td>
                <Table.Td ta="right">{kilobytes.format(a.bytes / 1000)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      <details>
        <summary>{t('As a table')}</summary>
        <Table aria-label={t('Usage over time')}>
          <Table.Thead><Table.Tr><Table.Th>{t('Time')}</Table.Th><Table.Th ta="right">{t('Calls')}</Table.Th><Table.Th ta="right">{t('Errors')}</Table.Th><Table.Th ta="right">{t('Kilobytes')}</Table.Th></Table.Tr></Table.Thead>
          <Table.Tbody>
            {usage.points.map((p) => (
              <Table.Tr key={p.at}><Table.Td>{new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'short' }).format(new Date(p.at))}</Table.Td><Table.Td ta="right">{number.format(p.calls)}</Table.Td><Table.Td ta="right">{number.format(p.blocked + p.failed)}</Table.Td><Table.Td ta="right">{kilobytes.format(p.bytes / 1000)}</Table.Td></Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </details>
    </>
  );
}
