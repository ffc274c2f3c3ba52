import { Button, Group, List, Stack, Table, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Problem } from '../../shared/ui';
import { call, exists, nameOf, useGet, useRefresh, type Listed } from '../api';

interface Outcome {
  name: string;
  passed: boolean;
  failures: string[];
}

/** A call that was tried, and what came of it. */
export interface Tried {
  request: { method: string; url: string; headers: Record<string, string>; body: string };
  response: { status: number; headers: Record<string, string>; body: string };
  expected: { status: number; body: string; isForwarded: boolean };
}

/** The tests that are kept beside an API: they run against its policies with the draft in their place. */
export function PolicyTests({ api, scope, draft, tried }: { api: string; scope: string; draft: () => string; tried?: Tried }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const tests = useGet<Listed<{ displayName: string; description?: string }>>(`${api}/policyTests`);
  const [name, setName] = useState('');
  const [subscription, setSubscription] = useState('');
  const [outcomes, setOutcomes] = useState<Outcome[]>([]);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const during = (work: Promise<unknown>) => {
    setBusy(true);
    setError(undefined);
    work.catch(setError).finally(() => setBusy(false));
  };
  const keep = async () => {
    const path = `${api}/policyTests/${nameOf(name)}`;
    if (await exists(path)) throw new Error(t('There is a test of that name.'));
    await call('PUT', path, { properties: { displayName: name, ...(subscription && { subscriptionId: `/subscriptions/${subscription}` }), ...tried } });
    setName('');
    await refresh();
  };
  const run = async () => setOutcomes((await call<{ value: Outcome[] }>('POST', `${api}/runPolicyTests`, { drafts: [{ scope, value: draft(), format: 'rawxml' }] })).data.value);
  return (
    <Stack component="section" aria-label={t('Tests of the API')}>
      <Text fw={600}>{t('Tests of the API')}</Text>
      <Text size="sm">{t('Calls that are kept with what must come of them. They run offline, against the draft above and the other policies in force.')}</Text>
      {error !== undefined && <Problem error={error} />}
      <Loaded query={tests}>
        {({ data }) => data.value.length === 0 ? <Text size="sm">{t('There is none yet: run the draft, then keep the call as a test.')}</Text> : (
          <>
            <Table aria-label={t('Tests of the API')}>
              <Table.Thead><Table.Tr>{[t('Name'), t('Result'), t('Actions')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
              <Table.Tbody>
                {data.value.map((test) => {
                  const outcome = outcomes.find((o) => o.name === test.name);
                  return (
                    <Table.Tr key={test.name}>
                      <Table.Td>{test.properties.displayName}</Table.Td>
                      <Table.Td>{outcome?.passed ? t('as expected') : outcome && <List size="sm">{outcome.failures.map((failure) => <List.Item key={failure}>{failure}</List.Item>)}</List>}</Table.Td>
                      <Table.Td><Button type="button" size="compact-xs" variant="default" aria-label={t('Delete the test {{name}}', { name: test.properties.displayName })} onClick={() => during(call('DELETE', test.id, undefined, '*').then(refresh))}>{t('Delete')}</Button></Table.Td>
                    </Table.Tr>
                  );
                })}
              </Table.Tbody>
            </Table>
            <Group><Button type="button" variant="default" loading={busy} onClick={() => during(run())}>{t('Run the tests')}</Button></Group>
          </>
        )}
      </Loaded>
      {tried && (
        <Group align="flex-end">
          <TextInput label={t('Name of the test')} value={name} maxLength={300} onChange={(e) => setName(e.currentTarget.value)} />
          <TextInput label={t('Subscription whose key the call has')} description={t('Keys themselves are not kept.')} value={subscription} onChange={(e) => setSubscription(e.currentTarget.value)} />
          <Button type="button" disabled={name.trim() === ''} loading={busy} onClick={() => during(keep())}>{t('Keep the call as a test')}</Button>
        </Group>
      )}
    </Stack>
  );
}
