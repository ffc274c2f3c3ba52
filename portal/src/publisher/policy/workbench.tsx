import { Badge, Button, Code, Group, Modal, NumberInput, Select, SimpleGrid, Stack, Table, Text, Textarea, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Problem } from '../../shared/ui';
import { call, useGet, useService, type Operation, type Resource } from '../api';
import { PolicyTests, type Tried } from './tests';

type Pair = [string, string];
interface StepTrace {
  section: string;
  scope: string;
  line: number;
  policy: string;
  policy_id: string | null;
  took_ms: number;
  error: [string, string] | null;
  responded: boolean;
  request: string;
  request_headers: Pair[];
  status: number | null;
  response_headers: Pair[];
  variables: Pair[];
}
interface Message {
  method?: string;
  url?: string;
  status?: number;
  headers: { name: string; value: string }[];
  body: string;
}
interface Rehearsed {
  response: Message;
  forwarded: Message | null;
  steps: StepTrace[];
}

const KEY = 'Ocp-Apim-Subscription-Key';
const MONO = { input: { fontFamily: 'var(--mantine-font-family-monospace)' } };

/** `Name: value`, one a line. */
export function headersOf(text: string): Record<string, string> {
  return Object.fromEntries(text.split('\n').filter((l) => l.includes(':')).map((l) => [l.slice(0, l.indexOf(':')).trim(), l.slice(l.indexOf(':') + 1).trim()]));
}

/** Sends a made-up request through the draft, offline: the backend's answer is made up, too. */
export function Workbench({ scope, draft }: { scope: string; draft: () => string }) {
  const { t } = useTranslation();
  const service = useService();
  const [, , api, , operation] = scope.split('/');
  const inApi = scope.startsWith('/apis/');
  const apiQuery = useGet<Resource<{ path: string }>>(inApi ? `${service.id}/apis/${api}` : undefined);
  const operationQuery = useGet<Resource<Operation>>(inApi && operation ? `${service.id}${scope}` : undefined);
  const [typed, setTyped] = useState<{ method?: string; url?: string }>({});
  const [headers, setHeaders] = useState(`${KEY}: `);
  const [body, setBody] = useState('');
  const [answer, setAnswer] = useState({ status: 200, headers: 'Content-Type: application/json', body: '{}' });
  const [result, setResult] = useState<Rehearsed>();
  const [tried, setTried] = useState<Tried>();
  const [open, setOpen] = useState<StepTrace>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const properties = operationQuery.data?.data.properties;
  const filled = (properties?.urlTemplate ?? '/').replace(/\{\*?([^{}]+)\}/g, (_, name: string) => encodeURIComponent(properties?.templateParameters?.find((p) => p.name === name)?.defaultValue || name));
  const url = typed.url ?? (apiQuery.data ? `/${apiQuery.data.data.properties.path}${filled}` : '/');
  const method = typed.method ?? properties?.method ?? 'GET';
  const run = async () => {
    const request = { method, url, headers: headersOf(headers.split('\n').filter((l) => !/:\s*$/.test(l)).join('\n')), body };
    const response = { status: answer.status, headers: headersOf(answer.headers), body: answer.body };
    const reply = await call<Rehearsed>('POST', `${service.id}/policyWorkbench`, { drafts: [{ scope, value: draft(), format: 'rawxml' }], request, response });
    const keyless = Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.toLowerCase() !== KEY.toLowerCase()));
    setTried({
      request: { ...request, headers: keyless },
      response,
      expected: { status: reply.data.response.status ?? 200, body: reply.data.response.body, isForwarded: reply.data.forwarded !== null },
    });
    setResult(reply.data);
  };
  return (
    <Stack>
      <Text size="sm">{t('Nothing is sent anywhere, and nothing is saved: the draft runs with the request and the answer below.')}</Text>
      {error !== undefined && <Problem error={error} />}
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Stack gap="xs" component="section" aria-label={t('The request')}>
          <Text fw={600}>{t('The request')}</Text>
          <Group wrap="nowrap" align="flex-start">
            <Select label={t('HTTP verb')} w={120} data={['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']} value={method} allowDeselect={false} onChange={(m) => setTyped({ ...typed, method: m ?? undefined })} />
            <TextInput label={t('Path and query at the gateway')} flex={1} value={url} onChange={(e) => setTyped({ ...typed, url: e.currentTarget.value })} styles={MONO} />
          </Group>
          <Textarea label={t('Request headers')} description={t('Name: value, one a line')} autosize minRows={2} value={headers} onChange={(e) => setHeaders(e.currentTarget.value)} styles={MONO} />
          <Textarea label={t('Request body')} autosize minRows={2} value={body} onChange={(e) => setBody(e.currentTarget.value)} styles={MONO} />
        </Stack>
        <Stack gap="xs" component="section" aria-label={t('What the backend answers')}>
          <Text fw={600}>{t('What the backend answers')}</Text>
          <NumberInput label={t('Status code')} hideControls min={100} max={599} value={answer.status} onChange={(v) => setAnswer({ ...answer, status: Number(v) })} w={120} />
          <Textarea label={t('Response headers')} description={t('Name: value, one a line')} autosize minRows={2} value={answer.headers} onChange={(e) => setAnswer({ ...answer, headers: e.currentTarget.value })} styles={MONO} />
          <Textarea label={t('Response content')} autosize minRows={2} value={answer.body} onChange={(e) => setAnswer({ ...answer, body: e.currentTarget.value })} styles={MONO} />
        </Stack>
      </SimpleGrid>
      <Group><Button type="button" loading={busy} onClick={() => { setBusy(true); setError(undefined); setResult(undefined); run().catch(setError).finally(() => setBusy(false)); }}>{t('Run the draft')}</Button></Group>
      {result && (
        <Stack component="section" aria-label={t('Result')}>
          <SimpleGrid cols={{ base: 1, md: 2 }}>
            <Shown title={t('The backend gets')} line={result.forwarded ? `${result.forwarded.method} ${result.forwarded.url}` : t('Nothing: a policy answered before.')} message={result.forwarded ?? undefined} />
            <Shown title={t('The caller gets')} line={String(result.response.status)} message={result.response} />
          </SimpleGrid>
          <Text fw={600}>{t('Steps')}</Text>
          {result.steps.length === 0 ? <Text size="sm">{t('No policy ran.')}</Text> : (
            <Table aria-label={t('Steps')}>
              <Table.Thead><Table.Tr>{[t('Section'), t('Scope'), t('Line'), t('Policy'), t('Time, ms'), t('Outcome'), t('Details')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
              <Table.Tbody>
                {result.steps.map((s, i) => (
                  <Table.Tr key={i}>
                    <Table.Td>{s.section}</Table.Td><Table.Td>{s.scope}</Table.Td><Table.Td>{s.line}</Table.Td>
                    <Table.Td><Code>{s.policy}</Code>{s.policy_id && ` ${s.policy_id}`}</Table.Td><Table.Td>{s.took_ms}</Table.Td>
                    <Table.Td>{s.error ? <Badge color="red" variant="outline" tt="none" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{s.error[0]}: {s.error[1]}</Badge> : s.responded ? t('ended the call') : t('went on')}</Table.Td>
                    <Table.Td><Button type="button" size="compact-xs" variant="default" aria-label={t('Details of step {{number}}', { number: i + 1 })} onClick={() => setOpen(s)}>{t('Details')}</Button></Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </Stack>
      )}
      {inApi && <PolicyTests api={`${service.id}/apis/${api}`} scope={scope} draft={draft} tried={result && tried} />}
      <Modal opened={open !== undefined} onClose={() => setOpen(undefined)} size="xl" title={open && t('After {{policy}}', { policy: open.policy })} closeButtonProps={{ 'aria-label': t('Close') }}>
        {open && (
          <Stack gap="xs">
            <Text size="sm">{t('The backend gets')}: <span className="mono">{open.request}</span></Text>
            <Pairs title={t('Request headers')} pairs={open.request_headers} />
            {open.status !== null && <Text size="sm">{t('Response status')}: {open.status}</Text>}
            {open.status !== null && <Pairs title={t('Response headers')} pairs={open.response_headers} />}
            <Pairs title={t('Variables')} pairs={open.variables} />
          </Stack>
        )}
      </Modal>
    </Stack>
  );
}

function Shown({ title, line, message }: { title: string; line: string; message?: Message }) {
  return (
    <Stack gap={4} component="section" aria-label={title}>
      <Text fw={600}>{title}</Text>
      <pre className="reply" tabIndex={0}>{[line, ...(message?.headers ?? []).map((h) => `${h.name}: ${h.value}`), ...(message?.body ? ['', message.body] : [])].join('\n')}</pre>
    </Stack>
  );
}

function Pairs({ title, pairs }: { title: string; pairs: Pair[] }) {
  const { t } = useTranslation();
  return (
    <Table aria-label={title} captionSide="top">
      <Table.Caption>{title}</Table.Caption>
      <Table.Tbody>{pairs.length === 0 ? <Table.Tr><Table.Td>{t('none')}</Table.Td></Table.Tr> : pairs.map(([name, value], i) => <Table.Tr key={i}><Table.Th className="mono">{name}</Table.Th><Table.Td className="mono">{value}</Table.Td></Table.Tr>)}</Table.Tbody>
    </Table>
  );
}
