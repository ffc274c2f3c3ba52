import { Button, Group, MultiSelect, NumberInput, Select, Stack, Switch, Text, Textarea, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Resource } from '../api';
import { MONO, Removal, useConflict, useSubmit } from '../form';
import { deletion, ResourceTable } from '../table';

interface Backend {
  title?: string | null;
  description?: string | null;
  url?: string;
  protocol?: string;
  type?: string;
  tls?: { validateCertificateChain: boolean; validateCertificateName: boolean } | null;
  credentials?: { header?: Record<string, string[]>; query?: Record<string, string[]>; authorization?: { scheme: string; parameter: string } } | null;
  circuitBreaker?: { rules: Rule[] } | null;
  pool?: { services: { id: string; weight?: number; priority?: number }[] } | null;
}
interface Rule {
  name: string;
  failureCondition: { count?: number; percentage?: number; interval: string; statusCodeRanges?: { min: number; max: number }[]; errorReasons?: string[] };
  tripDuration: string;
  acceptRetryAfter?: boolean;
}

export function Backends() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Backends')} actions={<Button renderRoot={(p) => <Link to="/$service/backends/$backend" params={{ service: service.name, backend: 'new' }} {...p} />}>{t('Add a backend')}</Button>}>
      <ResourceTable<Backend>
        label={t('Backends')}
        path={`${service.id}/backends`}
        searched="title"
        bulk={[deletion(t('Delete'), t('Calls whose policies name it fail.'))]}
        titleOf={(b) => b.properties.title || b.name}
        columns={[
          { label: t('Name'), sort: 'title', cell: (b) => <Link to="/$service/backends/$backend" params={{ service: service.name, backend: b.name }}>{b.properties.title || b.name}</Link> },
          { label: t('Type'), cell: (b) => (b.properties.type === 'Pool' ? t('Pool of {{count}} backends', { count: b.properties.pool?.services.length ?? 0 }) : t('One web service')) },
          { label: t('URL'), sort: 'url', cell: (b) => <span className="mono">{b.properties.url}</span> },
          { label: t('Circuit breaker'), cell: (b) => (b.properties.circuitBreaker?.rules.length ? t('on') : t('off')) },
        ]}
      />
    </Page>
  );
}

export function BackendPage() {
  const { t } = useTranslation();
  const service = useService();
  const { backend = '' } = useParams({ strict: false });
  const query = useGet<Resource<Backend>>(backend === 'new' ? undefined : `${service.id}/backends/${backend}`);
  // Kept here: each save makes another form, of another ETag.
  const [saved, setSaved] = useState(false);
  if (backend === 'new') return <Page title={t('Add a backend')}><BackendForm etag={null} saved={false} setSaved={setSaved} /></Page>;
  return <Loaded query={query}>{({ data, etag }) => <Page title={data.properties.title || data.name}><BackendForm key={etag} stored={data} etag={etag} saved={saved} setSaved={setSaved} /></Page>}</Loaded>;
}

function lines(map?: Record<string, string[]>): string {
  return Object.entries(map ?? {}).flatMap(([name, values]) => values.map((v) => `${name}: ${v}`)).join('\n');
}

function mapOf(text: string): Record<string, string[]> {
  const map: Record<string, string[]> = {};
  for (const line of text.split('\n').filter((l) => l.includes(':'))) (map[line.slice(0, line.indexOf(':')).trim()] ??= []).push(line.slice(line.indexOf(':') + 1).trim());
  return map;
}

const RULE: Rule = { name: 'failures', failureCondition: { count: 5, interval: 'PT1M', statusCodeRanges: [{ min: 500, max: 599 }] }, tripDuration: 'PT1M', acceptRetryAfter: true };

function BackendForm({ stored, etag, saved, setSaved }: { stored?: Resource<Backend>; etag: string | null; saved: boolean; setSaved: (saved: boolean) => void }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const others = useList<Backend>(`${service.id}/backends?$top=200`);
  const p = stored?.properties;
  const [values, setValues] = useState({ title: p?.title ?? '', description: p?.description ?? '', type: p?.type ?? 'Single', url: p?.url ?? '', protocol: p?.protocol ?? 'http' });
  const [tls, setTls] = useState(p?.tls ?? { validateCertificateChain: true, validateCertificateName: true });
  const [headers, setHeaders] = useState(lines(p?.credentials?.header));
  const [query, setQuery] = useState(lines(p?.credentials?.query));
  const [authorization, setAuthorization] = useState(p?.credentials?.authorization ?? { scheme: '', parameter: '' });
  const [rule, setRule] = useState<Rule | undefined>(p?.circuitBreaker?.rules[0]);
  const [members, setMembers] = useState(p?.pool?.services ?? []);
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  const name = stored?.name ?? nameOf(values.title);
  const path = `${service.id}/backends/${name}`;
  const back = () => navigate({ to: '/$service/backends', params: { service: service.name } });
  const id = (other: string) => `/backends/${other}`;
  const { failure, busy, form, notices } = useSubmit([values, tls, headers, query, authorization, rule, members], async () => {
    setSaved(false);
    const header = mapOf(headers);
    const inQuery = mapOf(query);
    const credentials = { ...p?.credentials, header, query: inQuery, authorization: authorization.scheme ? authorization : undefined };
    const properties = {
      ...p, ...values, title: values.title || null, description: values.description || null,
      url: values.type === 'Pool' ? '' : values.url,
      tls: values.type === 'Pool' ? null : tls,
      credentials: Object.keys(header).length + Object.keys(inQuery).length > 0 || authorization.scheme ? credentials : null,
      circuitBreaker: rule && values.type === 'Single' ? { rules: [rule, ...(p?.circuitBreaker?.rules.slice(1) ?? [])] } : null,
      pool: values.type === 'Pool' ? { services: members } : null,
    };
    if (!stored) {
      if (await exists(path)) throw new Error(t('There is a backend of that name.'));
      await call('PUT', path, { properties });
      await refresh();
      await back();
      return true;
    }
    return guard(path, properties, async (tag) => { await call('PUT', path, { properties }, tag); await refresh(); setSaved(true); }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack maw={720}>
        {notices}
        <TextInput label={t('Name')} required value={values.title} error={failure?.of('title')} onChange={(e) => set({ title: e.currentTarget.value })} />
        <Text size="sm">{t('In policies')}: <span className="mono">{`<set-backend-service backend-id="${name}" />`}</span></Text>
        <Textarea label={t('Description')} autosize minRows={2} value={values.description} error={failure?.of('description')} onChange={(e) => set({ description: e.currentTarget.value })} />
        <Select label={t('Type')} allowDeselect={false} data={[{ value: 'Single', label: t('One web service') }, { value: 'Pool', label: t('Pool of backends') }]} value={values.type} onChange={(type) => set({ type: type ?? 'Single' })} />
        {values.type === 'Pool' ? (
          <>
            <MultiSelect label={t('Members')} error={failure?.of('pool.services')} searchable value={members.map((m) => m.id.split('/').pop() ?? '')}
              data={others.data?.value.filter((b) => b.properties.type !== 'Pool').map((b) => ({ value: b.name, label: b.properties.title || b.name })) ?? []}
              onChange={(names) => setMembers(names.map((n) => members.find((m) => m.id.endsWith(`/${n}`)) ?? { id: id(n), weight: 1, priority: 1 }))} />
            {members.map((m, i) => {
              const member = m.id.split('/').pop() ?? '';
              return (
                <Group key={m.id}>
                  <Text w={200} className="mono">{member}</Text>
                  <NumberInput label={t('Weight of {{name}}', { name: member })} hideControls min={0} max={100} value={m.weight ?? 1} onChange={(v) => setMembers(members.map((x, j) => (i === j ? { ...x, weight: Number(v) } : x)))} />
                  <NumberInput label={t('Priority of {{name}}', { name: member })} description={t('The lowest number is called first.')} hideControls min={0} max={100} value={m.priority ?? 1} onChange={(v) => setMembers(members.map((x, j) => (i === j ? { ...x, priority: Number(v) } : x)))} />
                </Group>
              );
            })}
          </>
        ) : (
          <>
            <TextInput label={t('URL')} type="url" required value={values.url} error={failure?.of('url')} onChange={(e) => set({ url: e.currentTarget.value })} styles={MONO} />
            <Switch label={t('Its certificate must be of a trusted chain')} checked={tls.validateCertificateChain} onChange={(e) => setTls({ ...tls, validateCertificateChain: e.currentTarget.checked })} />
            <Switch label={t('Its certificate must name the host')} checked={tls.validateCertificateName} onChange={(e) => setTls({ ...tls, validateCertificateName: e.currentTarget.checked })} />
            <Textarea label={t('Headers that are sent along')} description={t('Name: value, one a line')} autosize minRows={2} value={headers} onChange={(e) => setHeaders(e.currentTarget.value)} styles={MONO} />
            <Textarea label={t('Query parameters that are sent along')} description={t('Name: value, one a line')} autosize minRows={2} value={query} onChange={(e) => setQuery(e.currentTarget.value)} styles={MONO} />
            <Group align="flex-start">
              <TextInput label={t('Authorization scheme')} placeholder="Bearer" value={authorization.scheme} onChange={(e) => setAuthorization({ ...authorization, scheme: e.currentTarget.value })} />
              <TextInput label={t('Authorization parameter')} placeholder="{{token}}" flex={1} description={t('Better a named value than the secret itself.')} value={authorization.parameter} onChange={(e) => setAuthorization({ ...authorization, parameter: e.currentTarget.value })} styles={MONO} />
            </Group>
            <Switch label={t('Circuit breaker')} description={t('Stops calling a backend that fails for a while.')} checked={rule !== undefined} onChange={(e) => setRule(e.currentTarget.checked ? RULE : undefined)} />
            {rule && (
              <Group align="flex-start">
                <NumberInput label={t('Failures')} hideControls min={1} value={rule.failureCondition.count ?? 1} onChange={(v) => setRule({ ...rule, failureCondition: { ...rule.failureCondition, count: Number(v) } })} />
                <TextInput label={t('within')} description={t('ISO 8601, such as PT1M')} value={rule.failureCondition.interval} onChange={(e) => setRule({ ...rule, failureCondition: { ...rule.failureCondition, interval: e.currentTarget.value } })} />
                <TextInput label={t('Rest for')} description={t('ISO 8601, such as PT1M')} value={rule.tripDuration} onChange={(e) => setRule({ ...rule, tripDuration: e.currentTarget.value })} />
                <Switch label={t('Retry-After of the backend counts')} checked={rule.acceptRetryAfter ?? false} onChange={(e) => setRule({ ...rule, acceptRetryAfter: e.currentTarget.checked })} />
              </Group>
            )}
          </>
        )}
        <Group>
          <Button type="submit" loading={busy}>{stored ? t('Save') : t('Create')}</Button>
          {stored && <Removal path={path} name={name} etag={etag} text={t('Calls whose policies name it fail.')} done={back} />}
          {saved && <Text role="status">{t('Saved.')}</Text>}
        </Group>
      </Stack>
      {dialog}
    </form>
  );
}
