import { Button, Checkbox, Code, Group, NumberInput, Select, Stack, Table, Tabs, Text, Textarea, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Copy, Keys, Loaded, Page, Problem } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Resource } from '../api';
import { Removal, useConflict, useSubmit } from '../form';
import { ResourceTable } from '../table';

interface Gateway {
  description?: string | null;
  locationData?: { name: string; city?: string; district?: string; countryOrRegion?: string } | null;
}
interface Node {
  host: string;
  mode: string;
  version: string;
  revision: number | null;
  servesRevisionSince: string | null;
  startedAt: string;
  seenAt: string;
  isLive: boolean;
}

const MANAGED = 'managed';

export function Gateways() {
  const { t } = useTranslation();
  const service = useService();
  const link = (gateway: string, label: string) => <Link to="/$service/gateways/$gateway" params={{ service: service.name, gateway }}>{label}</Link>;
  return (
    <Page title={t('Gateways')} actions={<Button renderRoot={(p) => <Link to="/$service/gateways/$gateway" params={{ service: service.name, gateway: 'new' }} {...p} />}>{t('Add a gateway')}</Button>}>
      <Stack gap="xs" component="section" aria-label={t('Built-in gateway')}>
        <Text component="h2" fw={600}>{t('Built-in gateway')}</Text>
        <Nodes gateway={MANAGED} />
      </Stack>
      <Text component="h2" fw={600}>{t('Gateways of your own')}</Text>
      <ResourceTable<Gateway>
        label={t('Gateways of your own')}
        path={`${service.id}/gateways`}
        searched="name"
        columns={[
          { label: t('Name'), sort: 'name', cell: (g) => link(g.name, g.name) },
          { label: t('Location'), sort: 'region', cell: (g) => [g.properties.locationData?.name, g.properties.locationData?.city, g.properties.locationData?.countryOrRegion].filter(Boolean).join(', ') },
          { label: t('Description'), sort: 'description', cell: (g) => g.properties.description },
        ]}
      />
    </Page>
  );
}

/** The processes of a gateway, and which revision of the configuration each serves. */
function Nodes({ gateway }: { gateway: string }) {
  const { t, i18n } = useTranslation();
  const service = useService();
  const query = useQuery({
    queryKey: ['nodes', service.id, gateway],
    queryFn: async () => (await call<{ revision: number; value: Resource<Node>[] }>('GET', `${service.id}/gateways/${gateway}/nodes`)).data,
    refetchInterval: 5_000,
  });
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'medium' });
  return (
    <Loaded query={query}>
      {({ revision, value }) => (
        <>
          <Text size="sm">{t('Newest revision of the configuration: {{revision}}', { revision })}</Text>
          {value.length === 0 ? <Text>{t('No process of it has reported yet.')}</Text> : (
            <Table aria-label={t('Processes')}>
              <Table.Thead><Table.Tr>{[t('Host'), t('Version'), t('Revision'), t('Since'), t('Seen'), t('State')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
              <Table.Tbody>
                {value.map(({ name, properties: n }) => (
                  <Table.Tr key={name}>
                    <Table.Td>{n.host}</Table.Td><Table.Td>{n.version}</Table.Td>
                    <Table.Td>{n.revision ?? '–'}{n.revision !== null && n.revision < revision ? ` (${t('behind')})` : ''}</Table.Td>
                    <Table.Td>{n.servesRevisionSince ? date.format(new Date(n.servesRevisionSince)) : '–'}</Table.Td>
                    <Table.Td>{date.format(new Date(n.seenAt))}</Table.Td>
                    <Table.Td>{n.isLive ? t('live') : t('gone')}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </>
      )}
    </Loaded>
  );
}

export function GatewayPage() {
  const { t } = useTranslation();
  const service = useService();
  const { gateway = '' } = useParams({ strict: false });
  const path = `${service.id}/gateways/${gateway}`;
  const query = useGet<Resource<Gateway>>(gateway === 'new' ? undefined : path);
  // Kept here: each save makes another form, of another ETag.
  const [saved, setSaved] = useState(false);
  if (gateway === 'new') return <Page title={t('Add a gateway')}><GatewayForm etag={null} saved={false} setSaved={setSaved} /></Page>;
  return (
    <Loaded query={query}>
      {({ data, etag }) => (
        <Page title={data.name}>
          <Tabs defaultValue="nodes" keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="nodes">{t('Processes')}</Tabs.Tab>
              <Tabs.Tab value="deploy">{t('Run it')}</Tabs.Tab>
              <Tabs.Tab value="apis">{t('APIs')}</Tabs.Tab>
              <Tabs.Tab value="settings">{t('Settings')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="nodes" pt="md"><Stack><Nodes gateway={data.name} /></Stack></Tabs.Panel>
            <Tabs.Panel value="deploy" pt="md"><Deploy path={path} /></Tabs.Panel>
            <Tabs.Panel value="apis" pt="md"><Served path={path} name={data.name} /></Tabs.Panel>
            <Tabs.Panel value="settings" pt="md"><GatewayForm key={etag} stored={data} etag={etag} saved={saved} setSaved={setSaved} /></Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}

const DAY_MS = 24 * 3600_000;

/** A token and the command that starts a process of the gateway. */
function Deploy({ path }: { path: string }) {
  const { t } = useTranslation();
  const [which, setWhich] = useState('primary');
  const [days, setDays] = useState(30);
  const [token, setToken] = useState<string>();
  const [error, setError] = useState<unknown>();
  const make = async () => {
    // A minute less, because the server's clock decides.
    const expiry = new Date(Date.now() + days * DAY_MS - 60_000).toISOString();
    setToken((await call<{ value: string }>('POST', `${path}/generateToken`, { keyType: which, expiry })).data.value);
  };
  const command = `PORTICO_CONTROL_URL=${window.location.origin} \\\nPORTICO_GATEWAY_TOKEN='${token ?? ''}' \\\nportico gateway`;
  return (
    <Stack maw={800}>
      {error !== undefined && <Problem error={error} />}
      <Text size="sm">{t('A process of this gateway runs anywhere that reaches this address; it gets its configuration with a token.')}</Text>
      <Group align="flex-end">
        <Select label={t('Made with')} allowDeselect={false} data={[{ value: 'primary', label: t('Primary key') }, { value: 'secondary', label: t('Secondary key') }]} value={which} onChange={(v) => setWhich(v ?? 'primary')} />
        <NumberInput label={t('Days until it expires')} hideControls min={1} max={30} value={days} onChange={(v) => setDays(Number(v))} />
        <Button onClick={() => { setError(undefined); make().catch(setError); }}>{t('Generate a token')}</Button>
      </Group>
      {token && <><Code block tabIndex={0}>{command}</Code><Group><Copy value={command} /></Group></>}
      <Text component="h2" fw={600}>{t('Keys')}</Text>
      <Keys
        fetchKeys={async () => {
          const { primary, secondary } = (await call<{ primary: string; secondary: string }>('POST', `${path}/listKeys`)).data;
          return { primaryKey: primary, secondaryKey: secondary };
        }}
        regenerate={(keyType) => call('POST', `${path}/regenerateKey`, { keyType })}
        breaks={<Text size="sm">{t('Tokens made with the key end, too: processes that use them get no more configuration, and go on with what they have.')}</Text>}
      />
    </Stack>
  );
}

/** Which APIs the gateway serves. */
function Served({ path, name }: { path: string; name: string }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const [filter, setFilter] = useState('');
  const filters = ['isCurrent eq true', ...(filter ? [`contains(displayName,'${filter.replaceAll("'", "''")}')`] : [])];
  const all = useList<{ displayName: string }>(`${service.id}/apis?$top=100&$filter=${encodeURIComponent(filters.join(' and '))}`);
  const its = useList<{ displayName: string }>(name === MANAGED ? undefined : `${path}/apis?$top=1000`);
  if (name === MANAGED) return <Text>{t('The built-in gateway serves every API.')}</Text>;
  return (
    <Stack>
      <TextInput label={t('Filter')} value={filter} onChange={(e) => setFilter(e.currentTarget.value)} maw={320} />
      {error !== undefined && <Problem error={error} />}
      <Loaded query={all}>
        {(rows) => rows.value.length === 0 ? <Text>{t('There is nothing here yet.')}</Text> : rows.value.map((row) => (
          <Checkbox key={row.id} label={row.properties.displayName} disabled={!its.data} checked={its.data?.value.some((x) => x.name === row.name) ?? false}
            onChange={(e) => { setError(undefined); call(e.currentTarget.checked ? 'PUT' : 'DELETE', `${path}/apis/${row.name}`).then(refresh, setError); }} />
        ))}
      </Loaded>
    </Stack>
  );
}

function GatewayForm({ stored, etag, saved, setSaved }: { stored?: Resource<Gateway>; etag: string | null; saved: boolean; setSaved: (saved: boolean) => void }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const [name, setName] = useState(stored?.name ?? '');
  const [description, setDescription] = useState(stored?.properties.description ?? '');
  const [location, setLocation] = useState(stored?.properties.locationData ?? { name: '' });
  const final = stored?.name ?? nameOf(name);
  const path = `${service.id}/gateways/${final}`;
  const { failure, busy, form, notices } = useSubmit([name, description, location], async () => {
    setSaved(false);
    const properties = { description: description || null, locationData: location.name ? location : null };
    if (!stored) {
      if (await exists(path)) throw new Error(t('There is a gateway of that name.'));
      await call('PUT', path, { properties });
      await refresh();
      await navigate({ to: '/$service/gateways/$gateway', params: { service: service.name, gateway: final } });
      return true;
    }
    return guard(path, properties, async (tag) => { await call('PATCH', path, { properties }, tag); await refresh(); setSaved(true); }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack maw={640}>
        {notices}
        <TextInput label={t('Name')} required disabled={stored !== undefined} value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <Textarea label={t('Description')} autosize minRows={2} value={description} error={failure?.of('description')} onChange={(e) => setDescription(e.currentTarget.value)} />
        <TextInput label={t('Name of the location')} required value={location.name} error={failure?.of('locationData.name')} onChange={(e) => setLocation({ ...location, name: e.currentTarget.value })} />
        <TextInput label={t('City')} value={location.city ?? ''} error={failure?.of('locationData.city')} onChange={(e) => setLocation({ ...location, city: e.currentTarget.value || undefined })} />
        <TextInput label={t('Country or region')} value={location.countryOrRegion ?? ''} error={failure?.of('locationData.countryOrRegion')} onChange={(e) => setLocation({ ...location, countryOrRegion: e.currentTarget.value || undefined })} />
        <Group>
          <Button type="submit" loading={busy}>{stored ? t('Save') : t('Create')}</Button>
          {stored && <Removal path={path} name={final} etag={etag} text={t('Its processes get no more configuration, and its callers are no longer answered.')} done={() => navigate({ to: '/$service/gateways', params: { service: service.name } })} />}
          {saved && <Text role="status">{t('Saved.')}</Text>}
        </Group>
      </Stack>
      {dialog}
    </form>
  );
}
