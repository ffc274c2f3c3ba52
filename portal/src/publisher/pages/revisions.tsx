import { Badge, Button, Group, Modal, Select, Stack, Table, Text, Textarea, TextInput } from '@mantine/core';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Ask, Loaded, Problem } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Listed, type Resource } from '../api';

interface Revision {
  apiId: string;
  apiRevision: string;
  createdDateTime: string;
  updatedDateTime: string;
  description?: string | null;
  privateUrl?: string | null;
  isOnline: boolean;
  isCurrent: boolean;
}
interface Release {
  apiId: string;
  createdDateTime: string;
  notes?: string | null;
}
interface VersionedApi {
  displayName: string;
  path: string;
  apiVersion?: string | null;
  apiVersionSetId?: string | null;
  isCurrent?: boolean;
}
interface VersionSet {
  displayName: string;
  versioningScheme: 'Segment' | 'Header' | 'Query';
  versionHeaderName?: string | null;
  versionQueryName?: string | null;
}

/** The name of an API without its revision. */
export function plainName(api: string): string {
  return api.split(';rev=')[0];
}

function useDate() {
  const { i18n } = useTranslation();
  return new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium', timeStyle: 'short' });
}

/** Copies of an API that can be tried before callers get them; one of them is current. */
export function Revisions({ api }: { api: string }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const date = useDate();
  const plain = plainName(api);
  const path = `${service.id}/apis/${plain}`;
  // The contract gives this list without the members of a resource around each row.
  const query = useGet<{ value: Revision[] }>(`${path}/revisions?$top=100`);
  const releases = useList<Release>(`${path}/releases?$top=100`);
  const [adding, setAdding] = useState(false);
  const [description, setDescription] = useState('');
  const [releasing, setReleasing] = useState<Revision>();
  const [notes, setNotes] = useState('');
  const [deleting, setDeleting] = useState<Revision>();
  const [error, setError] = useState<unknown>();
  const nameIn = (r: Revision) => (r.isCurrent ? plain : `${plain};rev=${r.apiRevision}`);
  const add = async (rows: Revision[]) => {
    const next = Math.max(...rows.map((r) => Number(r.apiRevision))) + 1;
    const current = await call<Resource<VersionedApi>>('GET', path);
    await call('PUT', `${path};rev=${next}`, { properties: { path: current.data.properties.path, sourceApiId: `/apis/${plain}`, apiRevisionDescription: description || null } });
    setAdding(false);
    setDescription('');
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: `${plain};rev=${next}` } });
  };
  const release = async (r: Revision) => {
    await call('PUT', `${path}/releases/${crypto.randomUUID().replaceAll('-', '').slice(0, 24)}`, { properties: { apiId: `/apis/${plain};rev=${r.apiRevision}`, notes: notes || null } });
    setReleasing(undefined);
    setNotes('');
    await refresh();
  };
  return (
    <Stack>
      {error !== undefined && <Problem error={error} />}
      <Loaded query={query}>
        {({ data: { value: rows } }) => (
          <>
            <Group><Button onClick={() => { setError(undefined); setAdding(true); }}>{t('Add a revision')}</Button></Group>
            <Table aria-label={t('Revisions')}>
              <Table.Thead><Table.Tr>{[t('Revision'), t('Description'), t('URL'), t('Created'), t('Actions')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
              <Table.Tbody>
                {rows.map((r) => (
                  <Table.Tr key={r.apiRevision}>
                    <Table.Td>
                      <Group gap="xs">
                        <Link to="/$service/apis/$api" params={{ service: service.name, api: nameIn(r) }}>{t('Revision {{number}}', { number: r.apiRevision })}</Link>
                        {r.isCurrent && <Badge variant="outline" color="green" tt="none" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{t('current')}</Badge>}
                      </Group>
                    </Table.Td>
                    <Table.Td>{r.description}</Table.Td>
                    <Table.Td className="mono">{r.privateUrl && new URL(r.privateUrl, service.properties.gatewayUrl).href}</Table.Td>
                    <Table.Td>{date.format(new Date(r.createdDateTime))}</Table.Td>
                    <Table.Td>
                      {!r.isCurrent && (
                        <Group gap={4}>
                          <Button size="compact-sm" variant="default" aria-label={t('Make revision {{number}} current', { number: r.apiRevision })} onClick={() => setReleasing(r)}>{t('Make current')}</Button>
                          <Button size="compact-sm" variant="default" aria-label={t('Delete revision {{number}}', { number: r.apiRevision })} onClick={() => setDeleting(r)}>{t('Delete')}</Button>
                        </Group>
                      )}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
            <Modal opened={adding} onClose={() => setAdding(false)} title={t('Add a revision')} closeButtonProps={{ 'aria-label': t('Close') }}>
              <form onSubmit={(e) => { e.preventDefault(); setError(undefined); add(rows).catch((failure: unknown) => { setAdding(false); setError(failure); }); }}>
                <Stack>
                  <Text size="sm">{t('It begins as a copy of the current one, with an address of its own; callers do not see it until it is made current.')}</Text>
                  <TextInput label={t('Description')} data-autofocus value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
                  <Group justify="flex-end"><Button type="submit">{t('Create')}</Button></Group>
                </Stack>
              </form>
            </Modal>
          </>
        )}
      </Loaded>
      <Text component="h2" fw={600}>{t('Change log')}</Text>
      <Loaded query={releases}>
        {({ value }) => value.length === 0 ? <Text size="sm">{t('Nothing was released yet.')}</Text> : (
          <Table aria-label={t('Change log')}>
            <Table.Thead><Table.Tr><Table.Th>{t('Time')}</Table.Th><Table.Th>{t('Revision')}</Table.Th><Table.Th>{t('Notes')}</Table.Th></Table.Tr></Table.Thead>
            <Table.Tbody>
              {[...value].sort((a, b) => b.properties.createdDateTime.localeCompare(a.properties.createdDateTime)).map((r) => (
                <Table.Tr key={r.id}>
                  <Table.Td>{date.format(new Date(r.properties.createdDateTime))}</Table.Td>
                  <Table.Td>{r.properties.apiId.split(';rev=')[1] ?? ''}</Table.Td>
                  <Table.Td style={{ whiteSpace: 'pre-wrap' }}>{r.properties.notes}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
      <Modal opened={releasing !== undefined} onClose={() => setReleasing(undefined)} title={releasing && t('Make revision {{number}} current', { number: releasing.apiRevision })} closeButtonProps={{ 'aria-label': t('Close') }}>
        <form onSubmit={(e) => { e.preventDefault(); setError(undefined); if (releasing) release(releasing).catch((failure: unknown) => { setReleasing(undefined); setError(failure); }); }}>
          <Stack>
            <Text size="sm">{t('From the next call on callers get it.')}</Text>
            <Textarea label={t('Notes for the change log')} autosize minRows={3} data-autofocus value={notes} onChange={(e) => setNotes(e.currentTarget.value)} />
            <Group justify="flex-end"><Button type="submit">{t('Make current')}</Button></Group>
          </Stack>
        </form>
      </Modal>
      <Ask opened={deleting !== undefined} title={deleting ? t('Delete revision {{number}}', { number: deleting.apiRevision }) : ''} text={t('Its operations and policies go too. Callers of the current revision notice nothing.')} action={t('Delete')} onClose={() => setDeleting(undefined)}
        onYes={async () => {
          if (!deleting) return;
          await call('DELETE', `${path};rev=${deleting.apiRevision}`, undefined, '*');
          if (api !== plain) await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: plain } });
          await refresh();
        }} />
    </Stack>
  );
}

/** APIs that are versions of one another, and how callers choose among them. */
export function Versions({ api }: { api: Resource<VersionedApi> }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const setId = api.properties.apiVersionSetId?.split('/').pop();
  const set = useGet<Resource<VersionSet>>(setId ? `${service.id}/apiVersionSets/${setId}` : undefined);
  const siblings = useList<VersionedApi>(setId ? `${service.id}/apis?$top=200&$filter=${encodeURIComponent(`path eq '${api.properties.path}' and isCurrent eq true`)}` : undefined);
  const [scheme, setScheme] = useState('Segment');
  const [version, setVersion] = useState('');
  const [name, setName] = useState('api-version');
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const schemes = [{ value: 'Segment', label: t('in the path') }, { value: 'Query', label: t('in a query parameter') }, { value: 'Header', label: t('in a header') }];
  const add = async () => {
    const plain = plainName(api.name);
    let id = setId;
    if (!id) {
      id = nameOf(`${plain}-versions`);
      const named = scheme === 'Header' ? { versionHeaderName: name } : scheme === 'Query' ? { versionQueryName: name } : {};
      await call('PUT', `${service.id}/apiVersionSets/${id}`, { properties: { displayName: api.properties.displayName, versioningScheme: scheme, ...named } });
      await call('PATCH', `${service.id}/apis/${plain}`, { properties: { apiVersionSetId: `/apiVersionSets/${id}` } }, '*');
    }
    const next = nameOf(`${plain}-${version}`);
    if (await exists(`${service.id}/apis/${next}`)) throw new Error(t('There is an API of that name.'));
    await call('PUT', `${service.id}/apis/${next}`, { properties: { displayName: api.properties.displayName, path: api.properties.path, sourceApiId: `/apis/${plain}`, apiVersion: version, apiVersionSetId: `/apiVersionSets/${id}` } });
    const products = await call<Listed<unknown>>('GET', `${service.id}/apis/${plain}/products`);
    for (const product of products.data.value) await call('PUT', `${service.id}/products/${product.name}/apis/${next}`);
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: next } });
  };
  return (
    <Stack maw={720}>
      {error !== undefined && <Problem error={error} />}
      {setId ? (
        <Loaded query={siblings}>
          {({ value }) => (
            <>
              <Text size="sm">{t('Callers choose the version {{where}}.', { where: schemes.find((s) => s.value === set.data?.data.properties.versioningScheme)?.label ?? '…' })}</Text>
              <Table aria-label={t('Versions')}>
                <Table.Thead><Table.Tr><Table.Th>{t('Version')}</Table.Th><Table.Th>{t('Name')}</Table.Th></Table.Tr></Table.Thead>
                <Table.Tbody>
                  {value.map((v) => (
                    <Table.Tr key={v.id}>
                      <Table.Td><Link to="/$service/apis/$api" params={{ service: service.name, api: v.name }}>{v.properties.apiVersion || t('Original')}</Link></Table.Td>
                      <Table.Td>{v.properties.displayName}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </>
          )}
        </Loaded>
      ) : <Text size="sm">{t('This API has no versions yet. The first one leaves the original where it is.')}</Text>}
      <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); add().catch(setError).finally(() => setBusy(false)); }}>
        <Stack>
          {!setId && <Select label={t('Where callers say the version')} allowDeselect={false} data={schemes} value={scheme} onChange={(v) => setScheme(v ?? 'Segment')} />}
          {!setId && scheme !== 'Segment' && <TextInput label={t('Name of the parameter or header')} required value={name} onChange={(e) => setName(e.currentTarget.value)} />}
          <TextInput label={t('New version')} placeholder="v2" required value={version} onChange={(e) => setVersion(e.currentTarget.value)} />
          <Group><Button type="submit" loading={busy}>{t('Add a version')}</Button></Group>
        </Stack>
      </form>
    </Stack>
  );
}
