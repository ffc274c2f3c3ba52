import { NativeSelect, SimpleGrid, Table, Text } from '@mantine/core';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { Chart } from '../shared/chart';
import { Loaded, Page } from '../shared/ui';
import { useAsk, useMe, type Usage } from './api';

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
