import { Badge, Button, Code, FileInput, Group, Loader, PasswordInput, Select, Stack, Stepper, Switch, Table, Tabs, Text, TextInput, Title } from '@mantine/core';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { send } from '../../shared/failure';
import { Ask, Keys, Loaded, Page, Problem } from '../../shared/ui';
import { call, exists, PROVIDER, useGet, useRefresh, useService, type Listed, type Resource } from '../api';
import { base64 } from '../../shared/files';
import { Contents, Editor, Form, useConflict, useSubmit, type Content } from '../form';

/** The service's creation goes on after the reply; its operation is asked until it ends. */
function Progress({ path, operation, name }: { path: string; operation: string; name: string }) {
  const { t } = useTranslation();
  const status = useQuery({
    queryKey: ['operation', operation],
    queryFn: async () => (await send<{ status: string; error?: { message: string } }>('GET', operation)).data,
    refetchInterval: (q) => (q.state.data && q.state.data.status !== 'InProgress' ? false : 1000),
  });
  const service = useGet<Resource<{ provisioningState: string; gatewayUrl?: string }>>(path);
  const done = status.data?.status === 'Succeeded';
  const client = useQueryClient();
  useEffect(() => {
    // The list of services and this one's addresses are known now.
    if (done) void client.invalidateQueries({ predicate: (q) => q.queryKey[0] !== 'operation' });
  }, [done, client]);
  return (
    <Stack role="status">
      <Stepper active={done ? 3 : 1} size="sm">
        <Stepper.Step label={t('Accepted')} />
        <Stepper.Step label={t('Activating')} description={!done && <Loader size="xs" aria-label={t('Running')} />} />
        <Stepper.Step label={t('Ready')} />
      </Stepper>
      {status.error && <Problem error={status.error} retry={() => void status.refetch()} />}
      {status.data?.error && <Problem error={new Error(status.data.error.message)} />}
      <Text>{done ? t('The service is ready.') : t('The service is being activated. You can leave this page.')}</Text>
      {done && (
        <>
          <Text>{t('Gateway URL')}: <Code>{service.data?.data.properties.gatewayUrl}</Code></Text>
          <Group><Button renderRoot={(p) => <Link to="/$service" params={{ service: name }} {...p} />}>{t('Open the service')}</Button></Group>
        </>
      )}
    </Stack>
  );
}

export function NewService() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  // In the address, so that a reload goes on watching.
  const running = useSearch({ strict: false }) as { path?: string; operation?: string; name?: string };
  return (
    <Page title={t('Create a service')}>
      {running.path && running.operation && running.name ? (
        <Progress path={running.path} operation={running.operation} name={running.name} />
      ) : (
        <Form
          label={t('Create')}
          initial={{ subscription: '00000000-0000-0000-0000-000000000001', group: 'default', location: 'local', sku: 'Developer' }}
          fields={[
            { name: 'name', label: t('Name'), required: true, help: t('Letters, digits and hyphens; part of the addresses.') },
            { name: 'publisherName', label: t('Organization'), required: true },
            { name: 'publisherEmail', label: t('Administrator e-mail'), required: true },
            { name: 'sku', label: t('Tier'), kind: 'select', options: ['Developer', 'Basic', 'Standard', 'Premium'].map((v) => ({ value: v, label: v })) },
            { name: 'location', label: t('Location'), required: true },
            { name: 'subscription', label: t('Subscription'), required: true },
            { name: 'group', label: t('Resource group'), required: true },
          ]}
          submit={async (v) => {
            const name = String(v.name ?? '');
            const path = `/subscriptions/${String(v.subscription)}/resourceGroups/${String(v.group)}/${PROVIDER}/service/${encodeURIComponent(name)}`;
            if (await exists(path)) throw new Error(t('There is a service of that name.'));
            const reply = await call('PUT', path, {
              location: v.location,
              sku: { name: v.sku, capacity: 1 },
              properties: { publisherEmail: v.publisherEmail, publisherName: v.publisherName },
            });
            const operation = new URL(reply.headers.get('azure-asyncoperation') ?? '', window.location.href);
            await navigate({ to: '/new-service', search: { path, name, operation: operation.pathname + operation.search } as never });
          }}
        />
      )}
    </Page>
  );
}

/** What there is to set about the service as a whole. */
export function Settings() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { tab } = useSearch({ strict: false }) as { tab?: string };
  return (
    <Page title={t('Settings')}>
      <Tabs value={tab ?? 'general'} onChange={(next) => void navigate({ to: '.', search: { tab: next === 'general' ? undefined : next } as never })} keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="general">{t('General')}</Tabs.Tab>
          <Tabs.Tab value="hosts">{t('Host names')}</Tabs.Tab>
          <Tabs.Tab value="sign-in">{t('Sign-in and delegation')}</Tabs.Tab>
          <Tabs.Tab value="access">{t('Access by keys')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="general" pt="md"><General /></Tabs.Panel>
        <Tabs.Panel value="hosts" pt="md"><Hosts /></Tabs.Panel>
        <Tabs.Panel value="sign-in" pt="md"><SignIn path={`${service.id}/portalsettings`} /></Tabs.Panel>
        <Tabs.Panel value="access" pt="md"><Access path={`${service.id}/tenant/access`} /></Tabs.Panel>
      </Tabs>
    </Page>
  );
}

interface Properties {
  provisioningState: string;
  createdAtUtc?: string;
  gatewayUrl?: string;
  developerPortalUrl?: string;
  managementApiUrl?: string;
  hostnameConfigurations?: HostName[] | null;
}

function General() {
  const { t, i18n } = useTranslation();
  const service = useService();
  const query = useGet<Resource<Properties>>(service.id);
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium', timeStyle: 'short' });
  return (
    <Stack>
      <Loaded query={query}>
        {({ data }) => (
          <Table variant="vertical" aria-label={t('Service')} maw={800}>
            <Table.Tbody>
              {[[t('Gateway URL'), data.properties.gatewayUrl], [t('Developer portal'), data.properties.developerPortalUrl], [t('Management API'), `${data.properties.managementApiUrl ?? ''}${data.id}`], [t('Tier'), data.sku?.name], [t('Location'), data.location], [t('Created'), data.properties.createdAtUtc && date.format(new Date(data.properties.createdAtUtc))]].map(([label, value]) => (
                <Table.Tr key={label}><Table.Th>{label}</Table.Th><Table.Td className="mono">{value}</Table.Td></Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
      <Editor
        path={service.id}
        fields={[
          { name: 'publisherName', label: t('Organization'), required: true },
          { name: 'publisherEmail', label: t('Administrator e-mail'), required: true },
          { name: 'notificationSenderEmail', label: t('Sender of mails') },
          { name: 'disableGateway', label: t('The built-in gateway answers no calls'), kind: 'switch', help: t('For services that only gateways of your own serve.') },
        ]}
      />
      <DeleteService />
    </Stack>
  );
}

function DeleteService() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [asked, setAsked] = useState(false);
  const contents = useQuery({
    queryKey: ['plan', service.id],
    enabled: asked,
    staleTime: 0,
    queryFn: () =>
      Promise.all(['apis', 'products', 'subscriptions', 'users', 'policyFragments', 'backends'].map(async (type): Promise<Content> => {
        const { data } = await call<Listed<unknown>>('GET', `${service.id}/${type}?$top=6`);
        return { type, count: data.count ?? data.value.length, names: data.value.map((row) => row.name) };
      })),
  });
  return (
    <Group>
      <Button color="red" variant="outline" onClick={() => setAsked(true)}>{t('Delete the service')}</Button>
      <Ask
        opened={asked}
        title={t('Delete {{name}}?', { name: service.name })}
        name={service.name}
        text={t('Its APIs stop at once. It can be restored for 48 hours.')}
        action={t('Delete')}
        onClose={() => setAsked(false)}
        onYes={async () => {
          await call('DELETE', service.id);
          await navigate({ to: '/' });
          await refresh();
        }}
      >
        {asked && <Loaded query={contents}>{(all) => <Contents contents={all.filter((c) => c.count > 0)} label={t('What is affected')} />}</Loaded>}
      </Ask>
    </Group>
  );
}

interface HostName {
  type: string;
  hostName: string;
  defaultSslBinding?: boolean;
  negotiateClientCertificate?: boolean;
  certificateSource?: string;
  certificate?: { subject: string; expiry: string; thumbprint: string } | null;
  encodedCertificate?: string;
  certificatePassword?: string;
}

/** Under which names the service is reached, and the certificate that each shows. */
function Hosts() {
  const service = useService();
  const query = useGet<Resource<Properties>>(service.id);
  const [saved, setSaved] = useState(false);
  return <Loaded query={query}>{({ data, etag }) => <HostsForm key={etag} stored={data.properties.hostnameConfigurations ?? []} etag={etag} saved={saved} setSaved={setSaved} />}</Loaded>;
}

function HostsForm({ stored, etag, saved, setSaved }: { stored: HostName[]; etag: string | null; saved: boolean; setSaved: (saved: boolean) => void }) {
  const { t, i18n } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const [hosts, setHosts] = useState(stored);
  const [files, setFiles] = useState<Record<number, File | null>>({});
  const kinds = [{ value: 'Proxy', label: t('Gateway') }, { value: 'DeveloperPortal', label: t('Developer portal') }, { value: 'Management', label: t('Management API') }, { value: 'Portal', label: t('Publisher portal') }, { value: 'Scm', label: 'SCM' }];
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium' });
  const set = (i: number, more: Partial<HostName>) => { setSaved(false); setHosts(hosts.map((h, j) => (i === j ? { ...h, ...more } : h))); };
  const { busy, form, notices } = useSubmit([hosts, Object.values(files).map((f) => f?.name)], async () => {
    const hostnameConfigurations = await Promise.all(hosts.map(async (host, i) => {
      const file = files[i];
      return file ? { ...host, encodedCertificate: await base64(file) } : host;
    }));
    return guard(service.id, { hostnameConfigurations }, async (tag) => { await call('PATCH', service.id, { properties: { hostnameConfigurations } }, tag); await refresh(); setSaved(true); }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack maw={900}>
        {notices}
        <Text size="sm">{t('The names must lead here in DNS. A certificate is a PKCS #12 file with its key; without one the gateway shows its own.')}</Text>
        {hosts.map((host, i) => (
          <Group key={i} align="flex-end" component="fieldset" m={0} p="xs" style={{ border: '1px solid var(--mantine-color-default-border)' }}>
            <legend><Text size="sm" fw={600}>{host.hostName || t('New host name')}</Text></legend>
            <Select label={t('What it leads to')} data={kinds.some((k) => k.value === host.type) ? kinds : [...kinds, { value: host.type, label: host.type }]} allowDeselect={false} value={host.type} onChange={(type) => set(i, { type: type ?? 'Proxy' })} w={180} />
            <TextInput label={t('Host name')} required placeholder="api.example.org" flex={1} miw={200} value={host.hostName} onChange={(e) => set(i, { hostName: e.currentTarget.value })} />
            {host.type === 'Proxy' && <Switch label={t('Default')} description={t('Shown to clients that name no host.')} checked={host.defaultSslBinding ?? false} onChange={(e) => set(i, { defaultSslBinding: e.currentTarget.checked })} />}
            <FileInput label={t('Certificate')} placeholder={t('Choose a file')} accept=".pfx,.p12" w={180} value={files[i] ?? null} onChange={(file) => setFiles({ ...files, [i]: file })} />
            {files[i] && <PasswordInput label={t('Password of the file')} autoComplete="off" w={180} value={host.certificatePassword ?? ''} onChange={(e) => set(i, { certificatePassword: e.currentTarget.value })} visibilityToggleButtonProps={{ 'aria-label': t('Show the password') }} />}
            {host.certificate && <Text size="sm">{host.certificate.subject}, {t('Expires')}: {date.format(new Date(host.certificate.expiry))}</Text>}
            <Button variant="default" aria-label={t('Remove {{address}}', { address: host.hostName })} onClick={() => { setHosts(hosts.filter((_, j) => i !== j)); setFiles({}); }}>{t('Remove')}</Button>
          </Group>
        ))}
        <Group><Button variant="default" onClick={() => setHosts([...hosts, { type: 'Proxy', hostName: '', defaultSslBinding: false, negotiateClientCertificate: false }])}>{t('Add a host name')}</Button></Group>
        <Group><Button type="submit" loading={busy}>{t('Save')}</Button>{saved && <Text role="status">{t('Saved.')}</Text>}</Group>
      </Stack>
      {dialog}
    </form>
  );
}

/** Who must sign in to see the developer portal, and which systems of the publisher's take over signing in and subscribing. */
function SignIn({ path }: { path: string }) {
  const { t } = useTranslation();
  const service = useService();
  const [secret, setSecret] = useState<string>();
  const [error, setError] = useState<unknown>();
  const show = () => call<{ validationKey?: string | null }>('POST', `${path}/delegation/listSecrets`).then((r) => setSecret(r.data.validationKey ?? ''), setError);
  return (
    <Stack>
      <Text size="sm">
        <Link to="/$service/portal" params={{ service: service.name }}>{t('Sign-up and terms')}</Link>{' · '}
        <Link to="/$service/identity-providers" params={{ service: service.name }}>{t('Identity providers')}</Link>
      </Text>
      <Title order={2} size="h4">{t('Sign in')}</Title>
      <Editor path={`${path}/signin`} fields={[{ name: 'enabled', label: t('Visitors of the developer portal must sign in'), kind: 'switch' }]} />
      <Title order={2} size="h4">{t('Delegation')}</Title>
      <Text size="sm">{t('A page of yours can take over signing in and subscribing; each redirection to it is signed with the key.')}</Text>
      {error !== undefined && <Problem error={error} />}
      <Editor
        path={`${path}/delegation`}
        keep={(changed) => Object.fromEntries(Object.entries(changed).filter(([name, value]) => name !== 'validationKey' || value))}
        fields={[
          { name: 'url', label: t('Address of your page'), kind: 'url' },
          { name: 'validationKey', label: t('New key'), kind: 'password', help: t('In base64; the stored one stays where this is empty.') },
          { name: 'userRegistration.enabled', label: t('It takes over signing in and up'), kind: 'switch' },
          { name: 'subscriptions.enabled', label: t('It takes over subscribing'), kind: 'switch' },
        ]}
      />
      <Group>
        <Button size="compact-sm" variant="default" onClick={() => (secret === undefined ? void show() : setSecret(undefined))}>{secret === undefined ? t('Show the key') : t('Hide the key')}</Button>
        {secret !== undefined && <Text className="mono">{secret || t('none')}</Text>}
      </Group>
    </Stack>
  );
}

/** Keys with which scripts manage this one service. */
function Access({ path }: { path: string }) {
  const { t } = useTranslation();
  const query = useGet<Resource<{ enabled: boolean; principalId: string }>>(path);
  return (
    <Stack>
      <Text size="sm">{t('With these keys SharedAccessSignatures for the management of this one service are made.')}</Text>
      <Loaded query={query}>{({ data }) => <Text size="sm">{t('Identifier in signatures')}: <Code>{data.properties.principalId}</Code> <Badge variant="outline" color={data.properties.enabled ? 'green' : 'gray'} tt="none" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{data.properties.enabled ? t('on') : t('off')}</Badge></Text>}</Loaded>
      <Editor path={path} fields={[{ name: 'enabled', label: t('Signatures with these keys are accepted'), kind: 'switch' }]} />
      <Title order={2} size="h4">{t('Keys')}</Title>
      <Keys
        fetchKeys={async () => (await call<{ primaryKey: string; secondaryKey: string }>('POST', `${path}/listSecrets`)).data}
        regenerate={(which) => call('POST', `${path}/${which === 'primary' ? 'regeneratePrimaryKey' : 'regenerateSecondaryKey'}`)}
      />
    </Stack>
  );
}
