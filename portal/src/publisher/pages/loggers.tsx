import { Button, Code, Group, Stack, Table, Text, Title } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { Loaded, Page } from '../../shared/ui';
import { call, exists, useGet, useList, useRefresh, useService, type Resource } from '../api';
import { Editor, Form, nested, type Field, type Values } from '../form';
import { KindList, KindPage, type Kind } from '../kind';

interface Logger {
  loggerType: string;
  description?: string | null;
  credentials?: Record<string, string> | null;
  isBuffered?: boolean;
}
interface Diagnostic {
  loggerId: string;
  alwaysLog?: string | null;
  sampling?: { percentage?: number } | null;
  verbosity?: string | null;
}

function useLoggers(): Kind<Logger> {
  const { t } = useTranslation();
  const types: Record<string, string> = { azureEventHub: 'Event Hub', applicationInsights: 'Application Insights', azureMonitor: t('The log of the installation') };
  const is = (...wanted: string[]) => (values: Values) => wanted.includes(String(values.loggerType));
  return {
    segment: 'loggers',
    route: '/$service/loggers',
    title: t('Loggers'),
    about: t('Where the records of calls go, besides the reports. Which calls, and how much of each, the diagnostics say.'),
    add: t('Add a logger'),
    taken: t('There is a logger of that name.'),
    searched: 'name',
    initial: { loggerType: 'applicationInsights', isBuffered: true },
    fields: (isNew) => [
      { name: 'loggerType', label: t('Type'), kind: 'select', disabled: !isNew, options: Object.entries(types).map(([value, label]) => ({ value, label })) },
      { name: 'description', label: t('Description') },
      { name: 'credentials.name', label: t('Name of the event hub'), required: true, when: is('azureEventHub') },
      { name: 'credentials.connectionString', label: t('Connection string'), help: t('Sealed in the database; afterwards only the name under which it is kept is shown. Or a named value: {{example}}', { example: '{{hub}}' }), when: is('azureEventHub', 'applicationInsights') },
      { name: 'credentials.instrumentationKey', label: t('Instrumentation key'), help: t('Needed where there is no connection string.'), when: is('applicationInsights') },
      { name: 'isBuffered', label: t('Gather records before they are sent'), kind: 'switch' },
    ],
    sent: (values) => Object.fromEntries(Object.entries(values).filter(([name, value]) => !name.startsWith('credentials.') || (value !== undefined && value !== ''))),
    columns: (link) => [
      { label: t('Name'), sort: 'name', cell: (l) => link(l, l.name) },
      { label: t('Type'), sort: 'loggerType', cell: (l) => types[l.properties.loggerType] ?? l.properties.loggerType },
      { label: t('Description'), sort: 'description', cell: (l) => l.properties.description },
    ],
    deletion: t('Diagnostics that name it log nowhere any more.'),
  };
}

export function Loggers() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <KindList kind={useLoggers()}>
      <Title order={2} size="h4">{t('Diagnostics of all APIs')}</Title>
      <DiagnosticsOf parent={service.id} to="/$service/diagnostics/$name" params={{ service: service.name }} />
    </KindList>
  );
}

export function LoggerPage() {
  return <KindPage kind={useLoggers()} />;
}

/** What of the calls goes to a logger: of every API, or of one. */
export function DiagnosticsOf({ parent, to, params }: { parent: string; to: string; params: Record<string, string> }) {
  const { t } = useTranslation();
  const list = useList<Diagnostic>(`${parent}/diagnostics?$top=100`);
  const at = (name: string) => ({ to: to as '/$service', params: { ...params, name } as unknown as { service: string } });
  return (
    <Stack>
      <Group><Button variant="default" renderRoot={(p) => <Link {...at('new')} {...p} />}>{t('Add a diagnostic')}</Button></Group>
      <Loaded query={list}>
        {({ value }) => value.length === 0 ? <Text>{t('There is nothing here yet.')}</Text> : (
          <Table aria-label={t('Diagnostics')}>
            <Table.Thead><Table.Tr>{[t('Name'), t('Logger'), t('Share of the calls'), t('Errors')].map((h) => <Table.Th key={h} scope="col">{h}</Table.Th>)}</Table.Tr></Table.Thead>
            <Table.Tbody>
              {value.map((d) => (
                <Table.Tr key={d.id}>
                  <Table.Td><Link {...at(d.name)}>{d.name}</Link></Table.Td>
                  <Table.Td><Code>{d.properties.loggerId.split('/').pop()}</Code></Table.Td>
                  <Table.Td>{d.properties.sampling?.percentage ?? 100} %</Table.Td>
                  <Table.Td>{d.properties.alwaysLog ? t('always') : t('as all calls')}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
    </Stack>
  );
}

/** A diagnostic of the service, or of the API of the address. */
export function DiagnosticPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { api, name = '' } = useParams({ strict: false }) as { api?: string; name?: string };
  const parent = api ? `${service.id}/apis/${api}` : service.id;
  const path = `${parent}/diagnostics/${name}`;
  const query = useGet<Resource<Diagnostic>>(name === 'new' ? undefined : path);
  const loggers = useList<Logger>(`${service.id}/loggers?$top=200`);
  const back = () => (api ? navigate({ to: '/$service/apis/$api', params: { service: service.name, api }, search: { tab: 'diagnostics' } }) : navigate({ to: '/$service/loggers', params: { service: service.name } }));
  const ids = loggers.data?.value.map((l) => ({ value: l.id, label: l.name })) ?? [];
  const message = (side: string, part: string, label: string): Field[] => [
    { name: `${side}.${part}.headers`, label: t('{{message}}: headers', { message: label }), kind: 'list', help: t('Their names; Enter adds one.') },
    { name: `${side}.${part}.body.bytes`, label: t('{{message}}: bytes of the body', { message: label }), kind: 'number', help: t('8192 at most; 0: none.') },
  ];
  const fields: Field[] = [
    { name: 'loggerId', label: t('Logger'), kind: 'select', options: ids, required: true },
    { name: 'sampling.percentage', label: t('Share of the calls in percent'), kind: 'number' },
    { name: 'alwaysLog', label: t('Calls that fail'), kind: 'select', options: [{ value: '', label: t('as all calls') }, { value: 'allErrors', label: t('always') }] },
    { name: 'verbosity', label: t('How much traces tell'), kind: 'select', options: [{ value: '', label: t('default') }, { value: 'error', label: t('Errors') }, { value: 'information', label: t('What is of interest') }, { value: 'verbose', label: t('Everything') }] },
    { name: 'httpCorrelationProtocol', label: t('Headers that join the records of one call'), kind: 'select', options: [{ value: '', label: t('default') }, { value: 'None', label: t('none') }, { value: 'Legacy', label: 'Request-Id' }, { value: 'W3C', label: 'traceparent' }] },
    { name: 'logClientIp', label: t('Log the address of the caller'), kind: 'switch' },
    ...message('frontend', 'request', t('Request of the caller')),
    ...message('frontend', 'response', t('Answer to the caller')),
    ...message('backend', 'request', t('Request to the backend')),
    ...message('backend', 'response', t('Answer of the backend')),
  ];
  // What is empty in the form is absent in the contract.
  const sent = (values: Values) => Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v === '' ? null : v]));
  if (name === 'new') {
    return (
      <Page title={t('Add a diagnostic')}>
        <Loaded query={loggers}>
          {() => (
            <Form
              label={t('Create')}
              initial={{ name: 'applicationinsights', loggerId: ids[0]?.value ?? '', 'sampling.percentage': 100, alwaysLog: 'allErrors', verbosity: '', httpCorrelationProtocol: '', logClientIp: false }}
              fields={[{ name: 'name', label: t('Name'), kind: 'select', options: ['applicationinsights', 'azuremonitor', 'azureeventhub'].map((v) => ({ value: v, label: v })) }, ...fields]}
              submit={async ({ name: typed, ...values }) => {
                const target = `${parent}/diagnostics/${String(typed)}`;
                if (await exists(target)) throw new Error(t('There is a diagnostic of that name.'));
                const given = Object.fromEntries(Object.entries(sent(values)).filter(([, v]) => v !== null && v !== undefined));
                await call('PUT', target, { properties: nested({ ...given, 'sampling.samplingType': 'fixed' }) });
                await refresh();
                await back();
              }}
            />
          )}
        </Loaded>
      </Page>
    );
  }
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.name}>
          <Editor path={path} fields={fields} keep={(changed) => sent('sampling.percentage' in changed ? { ...changed, 'sampling.samplingType': 'fixed' } : changed)} remove={{ text: t('What it logged is logged no more.'), done: back }} />
        </Page>
      )}
    </Loaded>
  );
}
