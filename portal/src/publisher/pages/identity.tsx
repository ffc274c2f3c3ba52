import { Button, Group, Select, Stack, Table, TagsInput, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, Problem } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Resource } from '../api';
import { Removal, useConflict, useSubmit } from '../form';

interface Provider {
  type?: string | null;
  clientId: string;
  clientSecret?: string;
  signinTenant?: string | null;
  allowedTenants?: string[] | null;
  authority?: string | null;
}
interface OpenIdProvider {
  displayName: string;
  description?: string | null;
  metadataEndpoint: string;
  clientId: string;
}

const NAMES: Record<string, string> = { aad: 'Microsoft Entra ID', aadB2C: 'Azure AD B2C', google: 'Google', microsoft: 'Microsoft', facebook: 'Facebook', twitter: 'Twitter' };

/** Who vouches for developers besides their passwords. */
export function IdentityProviders() {
  const { t } = useTranslation();
  const service = useService();
  const providers = useList<Provider>(`${service.id}/identityProviders`);
  const openid = useList<OpenIdProvider>(`${service.id}/openidConnectProviders?$top=200`);
  const to = (kind: string, provider: string) => ({ to: '/$service/identity-providers/$kind/$provider' as const, params: { service: service.name, kind, provider } });
  return (
    <Page title={t('Identity providers')} actions={
      <>
        <Button variant="default" renderRoot={(p) => <Link {...to('social', 'new')} {...p} />}>{t('Add an identity provider')}</Button>
        <Button renderRoot={(p) => <Link {...to('openid', 'new')} {...p} />}>{t('Add an OpenID Connect provider')}</Button>
      </>
    }>
      <Text>{t('With them developers sign in to the developer portal without a password of their own.')}</Text>
      <Loaded query={providers}>
        {(known) => (
          <Loaded query={openid}>
            {(others) => known.value.length + others.value.length === 0 ? <Text>{t('There is nothing here yet.')}</Text> : (
              <Table aria-label={t('Identity providers')}>
                <Table.Thead><Table.Tr><Table.Th>{t('Name')}</Table.Th><Table.Th>{t('Type')}</Table.Th><Table.Th>{t('Client id')}</Table.Th></Table.Tr></Table.Thead>
                <Table.Tbody>
                  {known.value.map((p) => (
                    <Table.Tr key={p.id}><Table.Td><Link {...to('social', p.name)}>{NAMES[p.name] ?? p.name}</Link></Table.Td><Table.Td>{p.properties.type ?? p.name}</Table.Td><Table.Td className="mono">{p.properties.clientId}</Table.Td></Table.Tr>
                  ))}
                  {others.value.map((p) => (
                    <Table.Tr key={p.id}><Table.Td><Link {...to('openid', p.name)}>{p.properties.displayName}</Link></Table.Td><Table.Td>OpenID Connect</Table.Td><Table.Td className="mono">{p.properties.clientId}</Table.Td></Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            )}
          </Loaded>
        )}
      </Loaded>
    </Page>
  );
}

export function IdentityProviderPage() {
  const { t } = useTranslation();
  const service = useService();
  const { kind = 'social', provider = '' } = useParams({ strict: false });
  const collection = kind === 'openid' ? 'openidConnectProviders' : 'identityProviders';
  const query = useGet<Resource<Provider & OpenIdProvider>>(provider === 'new' ? undefined : `${service.id}/${collection}/${provider}`);
  // Kept here: each save makes another form, of another ETag.
  const [saved, setSaved] = useState(false);
  const title = kind === 'openid' ? t('Add an OpenID Connect provider') : t('Add an identity provider');
  if (provider === 'new') return <Page title={title}><ProviderForm openid={kind === 'openid'} etag={null} saved={false} setSaved={setSaved} /></Page>;
  return <Loaded query={query}>{({ data, etag }) => <Page title={data.properties.displayName ?? NAMES[data.name] ?? data.name}><ProviderForm key={etag} openid={kind === 'openid'} stored={data} etag={etag} saved={saved} setSaved={setSaved} /></Page>}</Loaded>;
}

function ProviderForm({ openid, stored, etag, saved, setSaved }: { openid: boolean; stored?: Resource<Provider & OpenIdProvider>; etag: string | null; saved: boolean; setSaved: (saved: boolean) => void }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const p = stored?.properties;
  const [name, setName] = useState(stored?.name ?? 'aad');
  const [values, setValues] = useState({ displayName: p?.displayName ?? '', description: p?.description ?? '', metadataEndpoint: p?.metadataEndpoint ?? '', clientId: p?.clientId ?? '', clientSecret: '', signinTenant: p?.signinTenant ?? '', authority: p?.authority ?? '' });
  const [tenants, setTenants] = useState(p?.allowedTenants ?? []);
  const [secret, setSecret] = useState<string>();
  const [error, setError] = useState<unknown>();
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  const final = stored?.name ?? (openid ? nameOf(values.displayName) : name);
  const path = `${service.id}/${openid ? 'openidConnectProviders' : 'identityProviders'}/${final}`;
  const back = () => navigate({ to: '/$service/identity-providers', params: { service: service.name } });
  const tenanted = !openid && final.startsWith('aad');
  const { failure, busy, form, notices } = useSubmit([name, values, tenants], async () => {
    setSaved(false);
    setError(undefined);
    const properties = {
      clientId: values.clientId,
      ...(values.clientSecret ? { clientSecret: values.clientSecret } : {}),
      ...(openid ? { displayName: values.displayName, description: values.description || null, metadataEndpoint: values.metadataEndpoint } : {}),
      ...(tenanted ? { signinTenant: values.signinTenant || null, allowedTenants: tenants, authority: values.authority || null } : {}),
    };
    if (!stored) {
      if (await exists(path)) throw new Error(t('There is an identity provider of that name.'));
      await call('PUT', path, { properties });
      await refresh();
      await back();
      return true;
    }
    return guard(path, properties, async (tag) => { await call('PATCH', path, { properties }, tag); await refresh(); setSaved(true); }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack maw={640}>
        {notices}
        {error !== undefined && <Problem error={error} />}
        {openid ? (
          <>
            <TextInput label={t('Name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
            <TextInput label={t('Description')} value={values.description} error={failure?.of('description')} onChange={(e) => set({ description: e.currentTarget.value })} />
            <TextInput label={t('Metadata endpoint')} type="url" required placeholder="https://idp.example.org/.well-known/openid-configuration" value={values.metadataEndpoint} error={failure?.of('metadataEndpoint')} onChange={(e) => set({ metadataEndpoint: e.currentTarget.value })} />
          </>
        ) : (
          <Select label={t('Type')} disabled={stored !== undefined} allowDeselect={false} data={Object.entries(NAMES).map(([value, label]) => ({ value, label }))} value={name} onChange={(v) => setName(v ?? 'aad')} />
        )}
        <TextInput label={t('Client id')} required value={values.clientId} error={failure?.of('clientId')} onChange={(e) => set({ clientId: e.currentTarget.value })} />
        <TextInput type="password" autoComplete="off" label={stored ? t('New client secret') : t('Client secret')} required={!stored && !openid} value={values.clientSecret} error={failure?.of('clientSecret')} onChange={(e) => set({ clientSecret: e.currentTarget.value })} />
        {stored && (
          <Group>
            <Button size="compact-sm" variant="default" onClick={() => (secret === undefined ? void call<{ clientSecret: string }>('POST', `${path}/listSecrets`).then((r) => setSecret(r.data.clientSecret), setError) : setSecret(undefined))}>{secret === undefined ? t('Show the secret') : t('Hide the secret')}</Button>
            <span className="mono">{secret}</span>
          </Group>
        )}
        {tenanted && (
          <>
            <TextInput label={t('Sign-in tenant')} value={values.signinTenant} error={failure?.of('signinTenant')} onChange={(e) => set({ signinTenant: e.currentTarget.value })} />
            <TagsInput label={t('Allowed tenants')} value={tenants} error={failure?.of('allowedTenants')} onChange={setTenants} />
            <TextInput label={t('Authority')} placeholder="login.microsoftonline.com" value={values.authority} error={failure?.of('authority')} onChange={(e) => set({ authority: e.currentTarget.value })} />
          </>
        )}
        <Group>
          <Button type="submit" loading={busy}>{stored ? t('Save') : t('Create')}</Button>
          {stored && <Removal path={path} name={final} etag={etag} text={t('Developers can no longer sign in with it; their accounts stay.')} done={back} />}
          {saved && <Text role="status">{t('Saved.')}</Text>}
        </Group>
      </Stack>
      {dialog}
    </form>
  );
}
