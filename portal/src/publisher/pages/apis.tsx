import { Badge, Button, Checkbox, Code, FileButton, Group, MultiSelect, Select, Stack, Tabs, Text, Textarea, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { lazy, Suspense, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Loading, Page, Problem } from '../../shared/ui';
import { positions } from '../../shared/failure';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Operation, type Resource, type Schemas } from '../api';
import { Editor, MONO, useSubmit, type Values } from '../form';
import { deletion, ResourceTable } from '../table';
import { DiagnosticsOf } from './loggers';
import { ApiSchemas } from './operation';
import { Revisions, Versions } from './revisions';
import { TagFilter, TagsOf } from './tags';

const PolicyEditor = lazy(() => import('./policy').then((m) => ({ default: m.PolicyEditor })));

type Api = Schemas['ApiContract'];
type ListedApi = Api & { tags?: { id: string; name: string }[] };

export function Apis() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const search = useSearch({ strict: false }) as { tag?: string };
  return (
    <Page title={t('APIs')} actions={
      <>
        <Button variant="default" renderRoot={(p) => <Link to="/$service/apis/import" params={{ service: service.name }} {...p} />}>{t('Import an API')}</Button>
        <Button renderRoot={(p) => <Link to="/$service/apis/new" params={{ service: service.name }} {...p} />}>{t('Add an API')}</Button>
      </>
    }>
      <TagFilter change={(tag) => void navigate({ to: '.', search: { ...search, tag, page: undefined } as never })} />
      <ResourceTable<ListedApi>
        key={search.tag}
        label={t('APIs')}
        path={`${service.id}/apis?tags=true${search.tag ? `&tag=${encodeURIComponent(search.tag)}` : ''}`}
        titleOf={(a) => a.properties.displayName ?? a.name}
        bulk={[deletion(t('Delete'), t('Its operations and policies go too, and its callers get 404.'), '?deleteRevisions=true')]}
        filter="isCurrent eq true"
        columns={[
          { label: t('Name'), sort: 'displayName', cell: (a) => <Link to="/$service/apis/$api" params={{ service: service.name, api: a.name }}>{a.properties.displayName}</Link> },
          { label: t('URL'), sort: 'path', cell: (a) => <span className="mono">{service.properties.gatewayUrl}/{a.properties.path}</span> },
          { label: t('Tags'), cell: (a) => a.properties.tags?.map((x) => x.name).join(', ') },
          { label: t('Web service URL'), sort: 'serviceUrl', cell: (a) => <span className="mono">{a.properties.serviceUrl}</span> },
        ]}
      />
    </Page>
  );
}

export function AddApi() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const products = useList<Schemas['ProductContract']>(`${service.id}/products`);
  const [values, setValues] = useState({ displayName: '', serviceUrl: '', path: '', scheme: 'both', products: [] as string[] });
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  const gateway = service.properties.gatewayUrl ?? '';
  const url = `${gateway}/${values.path.replace(/^\/+|\/+$/g, '')}`;
  const { failure, busy, form, notices } = useSubmit(values, async () => {
    const name = nameOf(values.displayName);
    const path = `${service.id}/apis/${name}`;
    if (await exists(path)) throw new Error(t('There is an API of that name.'));
    await call('PUT', path, {
      properties: {
        displayName: values.displayName,
        serviceUrl: values.serviceUrl || null,
        path: values.path.replace(/^\/+|\/+$/g, ''),
        protocols: values.scheme === 'both' ? ['http', 'https'] : [values.scheme],
        subscriptionRequired: true,
      },
    });
    for (const product of values.products) await call('PUT', `${service.id}/products/${product}/apis/${name}`);
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: name } });
  });
  return (
    <Page title={t('Add an API')}>
      <form {...form}>
        <Stack maw={640}>
          {notices}
          <TextInput label={t('Web API name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
          <TextInput label={t('Web service URL')} type="url" description={t('Where calls are forwarded to.')} value={values.serviceUrl} error={failure?.of('serviceUrl')} onChange={(e) => set({ serviceUrl: e.currentTarget.value })} />
          <TextInput label={t('Web API URL suffix')} description={t('The part of the URL that names this API.')} value={values.path} error={failure?.of('path')} onChange={(e) => set({ path: e.currentTarget.value })} />
          <Select label={t('URL scheme')} allowDeselect={false} data={[{ value: 'https', label: 'HTTPS' }, { value: 'http', label: 'HTTP' }, { value: 'both', label: 'HTTP, HTTPS' }]} value={values.scheme} error={failure?.of('protocols')} onChange={(v) => set({ scheme: v ?? 'both' })} />
          <Text size="sm">{t('This is what the URL will look like:')} <Code data-testid="resulting-url">{url}</Code></Text>
          <MultiSelect label={t('Products')} description={t('An API can be subscribed to through its products.')} data={products.data?.value.map((p) => ({ value: p.name, label: p.properties.displayName })) ?? []} value={values.products} onChange={(v) => set({ products: v })} />
          <Group><Button type="submit" loading={busy}>{t('Save')}</Button></Group>
        </Stack>
      </form>
    </Page>
  );
}

const FORMATS = [
  { value: 'openapi', label: 'OpenAPI 3 (YAML, JSON)' },
  { value: 'swagger-json', label: 'Swagger 2 (JSON)' },
  { value: 'wsdl', label: 'WSDL' },
];

/** Makes an API of a document: pasted, from a file, or behind a link that the server follows. */
export function ImportApi() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [values, setValues] = useState({ displayName: '', path: '', format: 'openapi', document: '', link: '' });
  const set = (more: Partial<typeof values>) => setValues((old) => ({ ...old, ...more }));
  const { failure, busy, form, notices } = useSubmit(values, async () => {
    const name = nameOf(values.displayName);
    const path = `${service.id}/apis/${name}`;
    if (await exists(path)) throw new Error(t('There is an API of that name.'));
    const format = !values.link ? values.format : values.format === 'swagger-json' ? 'swagger-link-json' : `${values.format}-link`;
    await call('PUT', path, { properties: { displayName: values.displayName, path: values.path.replace(/^\/+|\/+$/g, ''), format, value: values.link || values.document } });
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: name } });
  });
  const area = useRef<HTMLTextAreaElement>(null);
  // The server names lines and columns; of a linked document there is nothing to show.
  const wrong = values.link || !failure ? [] : positions(failure).filter(({ line }) => line <= values.document.split('\n').length);
  const show = (line: number, column: number) => {
    const before = values.document.split('\n').slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    const end = before + (values.document.split('\n')[line - 1]?.length ?? 0);
    area.current?.focus();
    area.current?.setSelectionRange(Math.min(before + column - 1, end), end);
  };
  return (
    <Page title={t('Import an API')}>
      <form {...form}>
        <Stack maw={800}>
          {notices}
          <TextInput label={t('Web API name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
          <TextInput label={t('Web API URL suffix')} description={t('The part of the URL that names this API.')} value={values.path} error={failure?.of('path')} onChange={(e) => set({ path: e.currentTarget.value })} />
          <Select label={t('Format')} data={FORMATS} value={values.format} allowDeselect={false} onChange={(v) => set({ format: v ?? 'openapi' })} error={failure?.of('format')} />
          <TextInput label={t('Link to the document')} type="url" description={t('Instead of the document itself.')} value={values.link} onChange={(e) => set({ link: e.currentTarget.value })} />
          <Group><FileButton onChange={(file) => void file?.text().then((document) => set({ document }))}>{(p) => <Button {...p} variant="default">{t('Read a file')}</Button>}</FileButton></Group>
          <Textarea label={t('Document')} autosize minRows={10} maxRows={30} value={values.document} disabled={values.link !== ''} required={values.link === ''} error={failure?.of('value')} onChange={(e) => set({ document: e.currentTarget.value })} styles={MONO} ref={area} />
          {wrong.map(({ line, column }) => (
            <Group key={`${line}:${column}`} gap="xs"><Button size="compact-xs" variant="default" onClick={() => show(line, column)}>{t('Show line {{line}}', { line })}</Button><Code>{values.document.split('\n')[line - 1]}</Code></Group>
          ))}
          <Group><Button type="submit" loading={busy}>{t('Import')}</Button></Group>
        </Stack>
      </form>
    </Page>
  );
}

export function ApiPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { api = '' } = useParams({ strict: false });
  const path = `${service.id}/apis/${api}`;
  const query = useGet<Resource<Api>>(path);
  const params = { service: service.name, api };
  const { tab } = useSearch({ strict: false }) as { tab?: string };
  const openId = useList<{ displayName: string }>(`${service.id}/openidConnectProviders?$top=200`);
  const servers = useList<{ displayName: string }>(`${service.id}/authorizationServers?$top=200`);
  const choices = (list: typeof servers) => [{ value: '', label: t('none') }, ...(list.data?.value ?? []).map((s) => ({ value: s.name, label: s.properties.displayName }))];
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName ?? data.name}>
          <Text className="mono">{service.properties.gatewayUrl}/{data.properties.path}</Text>
          <Tabs value={tab ?? 'operations'} onChange={(next) => void navigate({ to: '.', search: { tab: next === 'operations' ? undefined : next } as never })} keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="operations">{t('Operations')}</Tabs.Tab>
              <Tabs.Tab value="settings">{t('Settings')}</Tabs.Tab>
              <Tabs.Tab value="products">{t('Products')}</Tabs.Tab>
              <Tabs.Tab value="schemas">{t('Schemas')}</Tabs.Tab>
              <Tabs.Tab value="policy">{t('Policies')}</Tabs.Tab>
              <Tabs.Tab value="revisions">{t('Revisions')}</Tabs.Tab>
              <Tabs.Tab value="versions">{t('Versions')}</Tabs.Tab>
              <Tabs.Tab value="tags">{t('Tags')}</Tabs.Tab>
              <Tabs.Tab value="diagnostics">{t('Diagnostics')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="operations" pt="md">
              <Stack>
                <Group><Button renderRoot={(p) => <Link to="/$service/apis/$api/operations/$operation" params={{ ...params, operation: 'new' }} {...p} />}>{t('Add an operation')}</Button></Group>
                <ResourceTable<Operation>
                  label={t('Operations')}
                  path={`${path}/operations`}
                  columns={[
                    { label: t('Verb'), sort: 'method', cell: (o) => <Badge variant="outline" color="gray" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{o.properties.method}</Badge> },
                    { label: t('Name'), sort: 'displayName', cell: (o) => <Link to="/$service/apis/$api/operations/$operation" params={{ ...params, operation: o.name }}>{o.properties.displayName}</Link> },
                    { label: t('URL template'), sort: 'urlTemplate', cell: (o) => <span className="mono">{o.properties.urlTemplate}</span> },
                  ]}
                />
              </Stack>
            </Tabs.Panel>
            <Tabs.Panel value="settings" pt="md">
              <Editor
                path={path}
                fields={[
                  { name: 'displayName', label: t('Web API name'), required: true },
                  { name: 'description', label: t('Description'), kind: 'area' },
                  { name: 'serviceUrl', label: t('Web service URL') },
                  { name: 'path', label: t('Web API URL suffix') },
                  { name: 'protocols', label: t('URL scheme'), kind: 'choices', required: true, options: (data.properties.type === 'websocket' ? ['ws', 'wss'] : ['http', 'https']).map((value) => ({ value, label: value.toUpperCase() })) },
                  { name: 'subscriptionRequired', label: t('Calls need a subscription key'), kind: 'switch' },
                  { name: 'subscriptionKeyParameterNames.header', label: t('Header of the key'), when: (v) => Boolean(v.subscriptionRequired) },
                  { name: 'subscriptionKeyParameterNames.query', label: t('Query parameter of the key'), when: (v) => Boolean(v.subscriptionRequired) },
                  { name: 'authenticationSettings.oAuth2.authorizationServerId', label: t('OAuth 2.0 server'), kind: 'select', options: choices(servers) },
                  { name: 'authenticationSettings.openid.openidProviderId', label: t('OpenID Connect provider'), kind: 'select', options: choices(openId) },
                  { name: 'termsOfServiceUrl', label: t('URL of the terms of use'), kind: 'url' },
                  { name: 'contact.name', label: t('Contact') },
                  { name: 'contact.email', label: t('E-mail address of the contact') },
                ]}
                keep={(changed) => ('authenticationSettings.oAuth2.authorizationServerId' in changed || 'authenticationSettings.openid.openidProviderId' in changed ? named(changed) : changed)}
                remove={{
                  text: t('Its operations and policies go too, and its callers get 404.'),
                  query: '?deleteRevisions=true',
                  calls: { report: 'byApi', field: 'apiId', value: `/apis/${api}` },
                  done: () => void navigate({ to: '/$service/apis', params: { service: service.name } }),
                }}
              />
            </Tabs.Panel>
            <Tabs.Panel value="products" pt="md"><ApiProducts api={data} /></Tabs.Panel>
            <Tabs.Panel value="schemas" pt="md"><ApiSchemas path={path} /></Tabs.Panel>
            <Tabs.Panel value="revisions" pt="md"><Revisions api={api} /></Tabs.Panel>
            <Tabs.Panel value="versions" pt="md"><Versions api={data as Resource<Api & { displayName: string; path: string }>} /></Tabs.Panel>
            <Tabs.Panel value="tags" pt="md"><TagsOf path={path} /></Tabs.Panel>
            <Tabs.Panel value="diagnostics" pt="md"><DiagnosticsOf parent={path} to="/$service/apis/$api/diagnostics/$name" params={params} /></Tabs.Panel>
            <Tabs.Panel value="policy" pt="md"><Suspense fallback={<Loading />}><PolicyEditor path={`${path}/policies/policy`} /></Suspense></Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}

/** A server that is chosen stands in the settings; one that is not, nowhere. */
function named(changed: Values): Values {
  const { 'authenticationSettings.oAuth2.authorizationServerId': server, 'authenticationSettings.openid.openidProviderId': provider, ...rest } = changed;
  return {
    ...rest,
    ...(server === undefined ? {} : { 'authenticationSettings.oAuth2': server ? { authorizationServerId: server } : null }),
    ...(provider === undefined ? {} : { 'authenticationSettings.openid': provider ? { openidProviderId: provider, bearerTokenSendingMethods: ['authorizationHeader'] } : null }),
  };
}

function ApiProducts({ api }: { api: Resource<Api> }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const all = useList<Schemas['ProductContract']>(`${service.id}/products`);
  const its = useList<Schemas['ProductContract']>(`${service.id}/apis/${api.name}/products`);
  return (
    <Loaded query={all}>
      {(products) => (
        <Stack>
          {error !== undefined && <Problem error={error} />}
          {products.value.length === 0 && <Text>{t('There is nothing here yet.')}</Text>}
          {products.value.map((p) => {
            const link = `${service.id}/products/${p.name}/apis/${api.name}`;
            return (
              <Checkbox key={p.id} label={p.properties.displayName} checked={its.data?.value.some((x) => x.name === p.name) ?? false} disabled={!its.data}
                onChange={(e) => { setError(undefined); call(e.currentTarget.checked ? 'PUT' : 'DELETE', link).then(refresh, setError); }} />
            );
          })}
        </Stack>
      )}
    </Loaded>
  );
}
