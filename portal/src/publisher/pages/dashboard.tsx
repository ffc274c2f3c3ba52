import { Anchor, Group, Paper, SegmentedControl, SimpleGrid, Stack, Table, Text } from '@mantine/core';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useMemo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, State } from '../../shared/ui';
import { useService } from '../api';
import { Chart } from '../../shared/chart';
import { RANGES, since, useReport, type Counts, type Latency, type Range } from '../reports';

function useNumber() {
  const { i18n } = useTranslation();
  return useMemo(() => new Intl.NumberFormat(i18n.language, { maximumFractionDigits: 1 }), [i18n.language]);
}

function Tile({ label, value, note }: { label: string; value: ReactNode; note?: string }) {
  return (
    <Paper withBorder p="sm">
      <Text size="sm" c="dimmed">{label}</Text>
      <Text size="xl" fw={700}>{value}</Text>
      {note && <Text size="xs" c="dimmed">{note}</Text>}
    </Paper>
  );
}

/** How the service is doing: calls, errors and times, and who causes them. */
export function Overview() {
  const { t } = useTranslation();
  const service = useService();
  const search = useSearch({ strict: false }) as { range?: string };
  const navigate = useNavigate();
  const number = useNumber();
  const range: Range = search.range && search.range in RANGES ? (search.range as Range) : '24h';
  const byTime = useReport<Counts>(service, 'byTime', range, `&interval=${RANGES[range].interval}&$top=1000`);
  const over = useReport<Latency>(service, 'byLatency', range, `&interval=${RANGES[range].interval}&$top=1000`);
  const whole = useReport<Latency>(service, 'byLatency', range);
  const portal = service.properties.developerPortalUrl;
  return (
    <Page
      title={service.name}
      actions={
        <SegmentedControl
          aria-label={t('Time range')}
          value={range}
          onChange={(next) => void navigate({ to: '.', search: { range: next === '24h' ? undefined : next } as never })}
          data={[{ value: '1h', label: t('1 hour') }, { value: '24h', label: t('24 hours') }, { value: '7d', label: t('7 days') }, { value: '30d', label: t('30 days') }]}
        />
      }
    >
      <Group gap="lg">
        <State value={service.properties.provisioningState} />
        <Text size="sm">{t('Gateway URL')}: <span className="mono">{service.properties.gatewayUrl}</span></Text>
        <Text size="sm">{t('Developer portal')}: <Anchor size="sm" href={portal} underline="always">{portal}</Anchor></Text>
        <Link to="/$service/calls" params={{ service: service.name }}>{t('Live calls')}</Link>
      </Group>
      <Loaded query={byTime}>
        {(rows) => {
          const sum = (field: 'callCountTotal' | 'callCountSuccess' | 'callCountFailed' | 'callCountBlocked' | 'bandwidth') => rows.reduce((all, r) => all + r[field], 0);
          const total = sum('callCountTotal');
          const latency = whole.data?.[0];
          const ms = (value?: number) => (value === undefined ? '–' : t('{{time}} ms', { time: number.format(value) }));
          const share = (part: number) => (total === 0 ? '' : `${number.format((100 * part) / total)} %`);
          return (
            <Stack>
              <SimpleGrid cols={{ base: 2, sm: 4 }} role="group" aria-label={t('In figures')}>
                <Tile label={t('Calls')} value={number.format(total)} />
                <Tile label={t('Failed')} value={number.format(sum('callCountFailed'))} note={share(sum('callCountFailed'))} />
                <Tile label={t('Blocked')} value={number.format(sum('callCountBlocked'))} note={share(sum('callCountBlocked'))} />
                <Tile label={t('Transferred')} value={bytes(sum('bandwidth'), number)} />
                <Tile label={t('Median time')} value={ms(latency?.apiTimeP50)} note={latency && t('Backend: {{time}}', { time: ms(latency.serviceTimeP50) })} />
                <Tile label={t('90th percentile')} value={ms(latency?.apiTimeP90)} />
                <Tile label={t('95th percentile')} value={ms(latency?.apiTimeP95)} note={latency && t('Backend: {{time}}', { time: ms(latency.serviceTimeP95) })} />
                <Tile label={t('99th percentile')} value={ms(latency?.apiTimeP99)} />
              </SimpleGrid>
              {total === 0 && <Text>{t('No calls yet.')}</Text>}
              <Charts counts={rows} latencies={over.data ?? []} range={range} />
            </Stack>
          );
        }}
      </Loaded>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Top title={t('APIs')} report="byApi" range={range} link={(r) => <NameLink to="/$service/apis/$api" name="api" id={r.apiId} row={r} />} />
        <Top title={t('Products')} report="byProduct" range={range} link={(r) => <NameLink to="/$service/products/$product" name="product" id={r.productId} row={r} />} />
        <Top title={t('Subscriptions')} report="bySubscription" range={range} link={(r) => <NameLink to="/$service/subscriptions/$subscription" name="subscription" id={r.subscriptionId} row={r} />} />
        <Top title={t('Developers')} report="byUser" range={range} link={(r) => <NameLink to="/$service/users/$user" name="user" id={r.userId} row={r} />} />
        <Top title={t('Operations')} report="byOperation" range={range} link={(r) => r.name || t('none')} />
        <Top title={t('Regions')} report="byGeo" range={range} link={(r) => [r.country, r.region].filter(Boolean).join(', ') || service.location || t('unknown')} />
      </SimpleGrid>
    </Page>
  );
}

function bytes(count: number, number: Intl.NumberFormat): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${number.format(count / 1000 ** step)} ${units[step]}`;
}

/** Steps without a call are there, too: a line over a gap would lie. */
function Charts({ counts, latencies, range }: { counts: Counts[]; latencies: Latency[]; range: Range }) {
  const { t } = useTranslation();
  const data = useMemo(() => {
    const { step } = RANGES[range];
    const first = since(range);
    const times = Array.from({ length: Math.floor((Date.now() - first) / step) + 1 }, (_, i) => (first + i * step) / 1000);
    const counted = new Map(counts.map((r) => [Date.parse(r.timestamp ?? '') / 1000, r]));
    const timed = new Map(latencies.map((r) => [Date.parse(r.timestamp ?? '') / 1000, r]));
    return {
      times,
      calls: [
        { label: t('Successful'), values: times.map((at) => counted.get(at)?.callCountSuccess ?? 0) },
        { label: t('Failed'), values: times.map((at) => counted.get(at)?.callCountFailed ?? 0) },
        { label: t('Blocked'), values: times.map((at) => counted.get(at)?.callCountBlocked ?? 0) },
      ],
      latency: [
        { label: t('Median time'), values: times.map((at) => timed.get(at)?.apiTimeP50 ?? null) },
        { label: t('99th percentile'), values: times.map((at) => timed.get(at)?.apiTimeP99 ?? null) },
        { label: t('95th percentile'), values: times.map((at) => timed.get(at)?.apiTimeP95 ?? null) },
      ],
    };
  }, [counts, latencies, range, t]);
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }}>
      <Chart label={t('Calls')} times={data.times} series={data.calls} />
      <Chart label={t('Time of calls, ms')} times={data.times} series={data.latency} />
    </SimpleGrid>
  );
}

function NameLink({ to, name, id, row }: { to: string; name: string; id?: string; row: Counts }) {
  const { t } = useTranslation();
  const service = useService();
  const tail = id?.split('/').pop() ?? '-';
  if (tail === '-') return <>{row.name || t('none')}</>;
  return <Link to={to as '/$service'} params={{ service: service.name, [name]: tail } as { service: string }}>{row.name || tail}</Link>;
}

function Top({ title, report, range, link }: { title: string; report: string; range: Range; link: (row: Counts) => ReactNode }) {
  const { t } = useTranslation();
  const service = useService();
  const number = useNumber();
  const query = useReport<Counts>(service, report, range, '&$top=5');
  return (
    <Stack gap={4} component="section" aria-label={title}>
      <Text component="h2" fw={600}>{title}</Text>
      <Loaded query={query}>
        {(rows) => rows.length === 0 || rows.every((r) => r.callCountTotal === 0) ? <Text size="sm">{t('No calls yet.')}</Text> : (
          <Table aria-label={title}>
            <Table.Thead><Table.Tr>{[t('Name'), t('Calls'), t('Failed'), t('Blocked'), t('Average time, ms')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
            <Table.Tbody>
              {rows.map((r, i) => (
                <Table.Tr key={`${r.name}${i}`}>
                  <Table.Td>{link(r)}</Table.Td><Table.Td>{number.format(r.callCountTotal)}</Table.Td><Table.Td>{number.format(r.callCountFailed)}</Table.Td>
                  <Table.Td>{number.format(r.callCountBlocked)}</Table.Td><Table.Td>{number.format(r.apiTimeAvg)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
    </Stack>
  );
}
