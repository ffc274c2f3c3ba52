import { Button, Group, Select, Stack, Table, Text, Textarea, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Problem } from '../../shared/ui';
import { call, useGet, useList, useService, type Operation, type Resource, type Schemas } from '../api';
import { headersOf } from '../policy/workbench';
import { exampleOf } from './operation';

/** How many bytes a text in base64 stands for. */
const bytesOf = (base64: string | null) => ((base64?.length ?? 0) * 3) / 4 - (/=*$/.exec(base64 ?? '')?.[0].length ?? 0);

interface Reply {
  url: string;
  method: string;
  status: number;
  reason: string;
  headers: [string, string][];
  text: string | null;
  base64: string | null;
  milliseconds: number;
}

const MONO = { input: { fontFamily: 'var(--mantine-font-family-monospace)' } };

/** Calls the stored operation through the service's gateway, as a caller would. */
export function TestCall({ api, operation }: { api: string; operation: Resource<Operation> }) {
  const { t } = useTranslation();
  const service = useService();
  const apiQuery = useGet<Resource<{ path: string; subscriptionKeyParameterNames?: { header?: string } }>>(`${service.id}/apis/${api}`);
  const subscriptions = useList<Schemas['SubscriptionContract']>(`${service.id}/subscriptions?$top=200&$filter=${encodeURIComponent("state eq 'active'")}`);
  const { method, urlTemplate, templateParameters = [], request } = operation.properties;
  const query = request?.queryParameters ?? [];
  const [values, setValues] = useState<Record<string, string>>(() => Object.fromEntries([...templateParameters, ...query].map((p) => [p.name, p.defaultValue ?? p.values?.[0] ?? ''])));
  const representation = request?.representations?.[0];
  const [headers, setHeaders] = useState(() => [...(representation ? [`Content-Type: ${representation.contentType}`] : []), ...(request?.headers ?? []).filter((h) => h.required || h.defaultValue).map((h) => `${h.name}: ${h.defaultValue ?? ''}`)].join('\n'));
  const [body, setBody] = useState(exampleOf(representation));
  const [subscription, setSubscription] = useState<string | null>(null);
  const [reply, setReply] = useState<Reply>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const filled = urlTemplate.replace(/\{\*?([^{}]+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''));
  const extra = query.filter((p) => values[p.name]).map((p) => `${encodeURIComponent(p.name)}=${encodeURIComponent(values[p.name])}`).join('&');
  const url = `${service.properties.gatewayUrl}/${apiQuery.data?.data.properties.path ?? ''}${filled}${extra ? `${filled.includes('?') ? '&' : '?'}${extra}` : ''}`;
  const run = async () => {
    const pairs = Object.entries(headersOf(headers));
    if (subscription) {
      const { primaryKey } = (await call<{ primaryKey: string }>('POST', `${service.id}/subscriptions/${subscription}/listSecrets`)).data;
      pairs.push([apiQuery.data?.data.properties.subscriptionKeyParameterNames?.header ?? 'Ocp-Apim-Subscription-Key', primaryKey]);
    }
    const sent = method === 'GET' || method === 'HEAD' ? {} : { body };
    setReply((await call<Reply>('POST', `${service.id}/testCall`, { method, url, headers: pairs, ...sent })).data);
  };
  return (
    <Stack maw={900}>
      <Text size="sm">{t('The call goes through the gateway and counts like every other.')}</Text>
      {error !== undefined && <Problem error={error} />}
      {[...templateParameters, ...query].map((p) => (
        <TextInput key={p.name} label={p.name} description={p.description} withAsterisk={p.required} value={values[p.name] ?? ''} onChange={(e) => setValues({ ...values, [p.name]: e.currentTarget.value })} styles={MONO} />
      ))}
      <Select label={t('Subscription')} description={t('Its key is sent, and not shown here.')} placeholder={t('none')} clearable searchable clearButtonProps={{ 'aria-label': t('none') }} value={subscription} onChange={setSubscription}
        data={subscriptions.data?.value.map((s) => ({ value: s.name, label: s.properties.displayName || s.name })) ?? []} />
      <Textarea label={t('Request headers')} description={t('Name: value, one a line')} autosize minRows={2} value={headers} onChange={(e) => setHeaders(e.currentTarget.value)} styles={MONO} />
      {method !== 'GET' && method !== 'HEAD' && <Textarea label={t('Request body')} autosize minRows={4} maxRows={20} value={body} onChange={(e) => setBody(e.currentTarget.value)} styles={MONO} />}
      <Text size="sm">{method} <span className="mono" data-testid="test-url">{url}</span></Text>
      <Group><Button type="button" loading={busy} onClick={() => { setBusy(true); setError(undefined); run().catch(setError).finally(() => setBusy(false)); }}>{t('Send')}</Button></Group>
      {reply && (
        <Stack component="section" aria-label={t('Response')} role="status">
          <Text fw={600} data-testid="test-status">{reply.status} {reply.reason}</Text>
          <Text size="sm">{t('{{time}} ms', { time: reply.milliseconds })}</Text>
          <Table aria-label={t('Response headers')}><Table.Tbody>{reply.headers.map(([name, value], i) => <Table.Tr key={i}><Table.Th className="mono">{name}</Table.Th><Table.Td className="mono">{value}</Table.Td></Table.Tr>)}</Table.Tbody></Table>
          <pre className="reply" tabIndex={0} data-testid="test-content">{reply.text ?? t('{{count, number}} bytes that are no text', { count: bytesOf(reply.base64) })}</pre>
        </Stack>
      )}
    </Stack>
  );
}
