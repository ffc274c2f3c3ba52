import { Badge, Button, Drawer, Group, Select, SegmentedControl, Table, Text, VisuallyHidden } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Copy, Loaded, Page } from '../../shared/ui';
import { call, useList, useService, type Schemas } from '../api';
import type { Call } from '../reports';
import type { Search } from '../table';

const WINDOW_MS = 15 * 60_000;
const ROWS = 200;
const PERIOD_MS = 2_000;

/** The calls of the last quarter of an hour, newest first, as they come in. */
export function Calls() {
  const { t, i18n } = useTranslation();
  const service = useService();
  const search = useSearch({ strict: false }) as Search & { api?: string };
  const navigate = useNavigate();
  const [running, setRunning] = useState(true);
  const [open, setOpen] = useState<Call>();
  const apis = useList<Schemas['ApiContract']>(`${service.id}/apis?$top=200&$filter=${encodeURIComponent('isCurrent eq true')}`);
  const calls = useQuery({
    queryKey: ['calls', service.id, search.api],
    queryFn: async () => {
      const filters = [`timestamp ge datetime'${new Date(Date.now() - WINDOW_MS).toISOString()}'`, ...(search.api ? [`apiId eq '/apis/${search.api}'`] : [])];
      return (await call<{ value: Call[] }>('GET', `${service.id}/reports/byRequest?$top=${ROWS}&$filter=${encodeURIComponent(filters.join(' and '))}`)).data.value;
    },
    refetchInterval: running ? PERIOD_MS : false,
    staleTime: 0,
    placeholderData: keepPreviousData,
  });
  const time = new Intl.DateTimeFormat(i18n.language, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
  const number = new Intl.NumberFormat(i18n.language, { maximumFractionDigits: 1 });
  const to = (more: Record<string, string | undefined>) => void navigate({ to: '.', search: { ...search, ...more } as never });
  return (
    <Page title={t('Live calls')} actions={<Button variant="default" aria-pressed={!running} onClick={() => setRunning(!running)}>{running ? t('Pause') : t('Go on')}</Button>}>
      <Group>
        <SegmentedControl aria-label={t('Which calls')} value={search.state ?? ''} onChange={(state) => to({ state: state || undefined })} data={[{ value: '', label: t('All') }, { value: 'errors', label: t('Errors only') }]} />
        <Select aria-label={t('API')} placeholder={t('All APIs')} clearable searchable clearButtonProps={{ 'aria-label': t('All APIs') }} value={search.api ?? null} onChange={(api) => to({ api: api ?? undefined })}
          data={apis.data?.value.map((a) => ({ value: a.name, label: a.properties.displayName ?? a.name })) ?? []} />
        <Text size="sm" c="dimmed">{t('The newest 200 calls of the last 15 minutes.')}</Text>
      </Group>
      <Loaded query={calls}>
        {(all) => {
          const rows = search.state === 'errors' ? all.filter((c) => c.responseCode >= 400) : all;
          return (
            <>
              <VisuallyHidden role="status">{t('{{count, number}} rows', { count: rows.length })}</VisuallyHidden>
              {rows.length === 0 ? <Text>{t('No calls yet.')}</Text> : (
                <Table.ScrollContainer minWidth={700}>
                  <Table aria-label={t('Live calls')} highlightOnHover>
                    <Table.Thead><Table.Tr>{[t('Time'), t('Status'), t('Verb'), t('URL'), t('Subscription'), t('Time, ms'), t('Details')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
                    <Table.Tbody>
                      {rows.map((c) => (
                        <Table.Tr key={c.requestId}>
                          <Table.Td className="mono">{time.format(new Date(c.timestamp))}</Table.Td>
                          <Table.Td><Status code={c.responseCode} /></Table.Td>
                          <Table.Td>{c.method}</Table.Td>
                          <Table.Td className="mono">{c.url}</Table.Td>
                          <Table.Td className="mono">{tail(c.subscriptionId)}</Table.Td>
                          <Table.Td>{number.format(c.apiTime)}</Table.Td>
                          <Table.Td><Button size="compact-xs" variant="default" aria-label={t('Details of {{method}} {{url}}', { method: c.method, url: c.url })} onClick={() => setOpen(c)}>{t('Details')}</Button></Table.Td>
                        </Table.Tr>
                      ))}
                    </Table.Tbody>
                  </Table>
                </Table.ScrollContainer>
              )}
            </>
          );
        }}
      </Loaded>
      <Drawer opened={open !== undefined} onClose={() => setOpen(undefined)} title={open && `${open.method} ${open.url}`} position="right" size="lg" closeButtonProps={{ 'aria-label': t('Close') }}>
        {open && <Record call={open} />}
      </Drawer>
    </Page>
  );
}

function tail(id: string): string {
  const name = id.split('/').pop() ?? '';
  return name === '-' ? '' : name;
}

function Status({ code }: { code: number }) {
  return <Badge variant="outline" color={code >= 500 ? 'red' : code >= 400 ? 'yellow' : 'green'} styles={{ label: { color: 'var(--mantine-color-text)' } }}>{code}</Badge>;
}

function Record({ call: c }: { call: Call }) {
  const { t, i18n } = useTranslation();
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium', timeStyle: 'long' });
  const rows: [string, React.ReactNode][] = [
    [t('Request id'), <Group gap="xs" key="id"><span className="mono">{c.requestId}</span><Copy value={c.requestId} /></Group>],
    [t('Time'), date.format(new Date(c.timestamp))],
    [t('Status'), <Status key="status" code={c.responseCode} />],
    [t('Error'), c.errorReason ? `${c.errorSource ?? ''}: ${c.errorReason}` : t('none')],
    [t('API'), c.apiId], [t('Operation'), c.operationId], [t('Product'), c.productId], [t('Subscription'), c.subscriptionId], [t('User'), c.userId],
    [t('Address of the caller'), c.ipAddress],
    [t('Region'), c.apiRegion ?? t('unknown')],
    [t('Time in all, ms'), c.apiTime], [t('Time of the backend, ms'), c.serviceTime], [t('Time of the gateway itself, ms'), Math.max(0, Math.round((c.apiTime - c.serviceTime) * 1000) / 1000)],
    [t('Request, bytes'), c.requestSize], [t('Response, bytes'), c.responseSize],
    [t('Cache'), c.cache],
  ];
  return (
    <Table variant="vertical" aria-label={t('Details')}>
      <Table.Tbody>{rows.map(([label, value]) => <Table.Tr key={label}><Table.Th>{label}</Table.Th><Table.Td className="mono">{value}</Table.Td></Table.Tr>)}</Table.Tbody>
    </Table>
  );
}
