import { Button, Group, Modal, NumberInput, PasswordInput, Select, Stack, Switch, Table, Text, Textarea, TextInput } from '@mantine/core';
import { useQueries, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../shared/failure';
import { Ask, Loaded, Problem } from '../shared/ui';
import { call, useGet, useRefresh, useService, type Listed, type Resource } from './api';
import { report, type Counts } from './reports';

export type Values = Record<string, unknown>;

export interface Field {
  name: string;
  label: string;
  kind?: 'text' | 'area' | 'select' | 'switch' | 'number' | 'password';
  options?: { value: string; label: string }[];
  required?: boolean;
  help?: string;
  disabled?: boolean;
}

export function Fields({ fields, values, change, failure }: { fields: Field[]; values: Values; change: (values: Values) => void; failure?: Failure }) {
  return (
    <>
      {fields.map((f) => {
        const common = { label: f.label, description: f.help, required: f.required, disabled: f.disabled, error: failure?.of(f.name), name: f.name };
        const set = (value: unknown) => change({ ...values, [f.name]: value });
        const text = (values[f.name] as string | undefined) ?? '';
        switch (f.kind) {
          case 'area':
            return <Textarea key={f.name} {...common} autosize minRows={2} maxRows={20} value={text} onChange={(e) => set(e.currentTarget.value)} />;
          case 'select':
            return <Select key={f.name} {...common} data={f.options ?? []} value={text} allowDeselect={false} onChange={(v) => set(v)} />;
          case 'switch':
            return <Switch key={f.name} label={f.label} description={f.help} checked={Boolean(values[f.name])} onChange={(e) => set(e.currentTarget.checked)} />;
          case 'number':
            return <NumberInput key={f.name} {...common} hideControls value={(values[f.name] as number | null | undefined) ?? ''} min={0} onChange={(v) => set(v === '' ? null : Number(v))} />;
          case 'password':
            return <PasswordInput key={f.name} {...common} autoComplete="new-password" value={text} onChange={(e) => set(e.currentTarget.value)} />;
          default:
            return <TextInput key={f.name} {...common} value={text} onChange={(e) => set(e.currentTarget.value)} />;
        }
      })}
    </>
  );
}

/** A form that sends what was typed; what the API refuses is shown at its fields. */
export function Form({ fields, initial, submit, label, extra }: { fields: Field[]; initial: Values; submit: (values: Values) => Promise<unknown>; label: string; extra?: (values: Values) => React.ReactNode }) {
  const [values, setValues] = useState(initial);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        setBusy(true);
        setError(undefined);
        submit(values).catch(setError).finally(() => setBusy(false));
      }}
    >
      <Stack maw={640}>
        {error !== undefined && <Problem error={error} />}
        <Fields fields={fields} values={values} change={setValues} failure={error instanceof Failure ? error : undefined} />
        {extra?.(values)}
        <Group><Button type="submit" loading={busy}>{label}</Button></Group>
      </Stack>
    </form>
  );
}

/**
 * Saves with the ETag that was read. When somebody else saved meanwhile, the person decides, seeing what differs.
 */
export function useConflict() {
  const { t } = useTranslation();
  const [conflict, setConflict] = useState<{ mine: Values; theirs: Values; overwrite: () => Promise<unknown>; reload: () => void }>();
  const dialog = conflict && (
    <Modal opened onClose={() => setConflict(undefined)} title={t('Somebody else changed this meanwhile')} size="lg" closeButtonProps={{ 'aria-label': t('Close') }}>
      <Stack>
        <Text size="sm">{t('What you typed is kept. Choose what counts.')}</Text>
        <Table>
          <Table.Thead><Table.Tr><Table.Th>{t('Field')}</Table.Th><Table.Th>{t('Yours')}</Table.Th><Table.Th>{t('Current')}</Table.Th></Table.Tr></Table.Thead>
          <Table.Tbody>
            {Object.keys(conflict.mine).filter((k) => JSON.stringify(conflict.mine[k] ?? null) !== JSON.stringify(conflict.theirs[k] ?? null)).map((k) => (
              <Table.Tr key={k}><Table.Td>{k}</Table.Td><Table.Td className="mono">{show(conflict.mine[k])}</Table.Td><Table.Td className="mono">{show(conflict.theirs[k])}</Table.Td></Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        <Group justify="flex-end">
          <Button variant="default" onClick={() => { conflict.reload(); setConflict(undefined); }}>{t('Reload current')}</Button>
          <Button onClick={() => { void conflict.overwrite().finally(() => setConflict(undefined)); }}>{t('Overwrite with mine')}</Button>
        </Group>
      </Stack>
    </Modal>
  );
  const guard = async (path: string, mine: Values, save: (etag?: string) => Promise<unknown>, etag: string | null, reload: () => void) => {
    try {
      return await save(etag ?? undefined);
    } catch (error) {
      if (!(error instanceof Failure && error.status === 412)) throw error;
      const current = await call<Resource>('GET', path);
      setConflict({ mine, theirs: current.data.properties, reload, overwrite: () => save(current.etag ?? '*') });
      return undefined;
    }
  };
  return { dialog, guard };
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}

/** What hangs on a resource. */
export interface Affected {
  label: string;
  path: string;
  filter?: string;
}

/** By which field which report knows the calls to a resource. */
export interface CallsTo {
  report: string;
  field: string;
  value: string;
}

const WEEK_MS = 7 * 24 * 3600_000;

/** How much goes or stops when something is deleted, counted before it is. */
export function Consequences({ items, calls }: { items: Affected[]; calls?: CallsTo }) {
  const { t, i18n } = useTranslation();
  const service = useService();
  const number = new Intl.NumberFormat(i18n.language);
  const counts = useQueries({
    queries: items.map(({ path, filter }) => ({
      queryKey: ['count', path, filter],
      queryFn: async () => {
        const { data } = await call<Listed<unknown>>('GET', `${path}?$top=1${filter ? `&$filter=${encodeURIComponent(filter)}` : ''}`);
        return data.count ?? data.value.length;
      },
    })),
  });
  const recent = useQuery({
    queryKey: ['recent', service.id, calls?.value],
    enabled: calls !== undefined,
    queryFn: async () => {
      if (!calls) return 0;
      const rows = await report<Counts>(service, `${calls.report}`, Date.now() - WEEK_MS, encodeURIComponent(` and ${calls.field} eq '${calls.value}'`));
      return rows.reduce((sum, row) => sum + row.callCountTotal, 0);
    },
  });
  const shown = (query: { data?: number; error: unknown }) => (query.data !== undefined ? number.format(query.data) : query.error ? '?' : '…');
  return (
    <Table aria-label={t('What is affected')} variant="vertical">
      <Table.Tbody>
        {items.map((item, i) => <Table.Tr key={item.label}><Table.Th>{item.label}</Table.Th><Table.Td>{shown(counts[i])}</Table.Td></Table.Tr>)}
        {calls && <Table.Tr><Table.Th>{t('Calls of the last 7 days')}</Table.Th><Table.Td>{shown(recent)}</Table.Td></Table.Tr>}
      </Table.Tbody>
    </Table>
  );
}

/** Edits the properties of one resource. */
export function Editor({ path, fields, remove, keep, after, extra }: { path: string; fields: Field[]; extra?: (values: Values) => React.ReactNode; remove?: { text: string; query?: string; done: () => void; items?: Affected[]; calls?: CallsTo }; keep?: (properties: Values) => Values; after?: () => void }) {
  const { t } = useTranslation();
  const query = useGet<Resource>(path);
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const [reloaded, setReloaded] = useState(0);
  const [saved, setSaved] = useState(false);
  const [asked, setAsked] = useState(false);
  return (
    <Loaded query={query}>
      {({ data, etag }) => (
        <Stack>
          <Form
            key={`${etag}${reloaded}`}
            fields={fields}
            initial={Object.fromEntries(fields.map((f) => [f.name, data.properties[f.name]]))}
            label={t('Save')}
            extra={extra}
            submit={async (values) => {
              setSaved(false);
              const changed = Object.fromEntries(Object.entries(values).filter(([k, v]) => JSON.stringify(v ?? null) !== JSON.stringify(data.properties[k] ?? null)));
              const properties = keep ? keep(changed) : changed;
              await guard(path, properties, async (tag) => {
                await call('PATCH', path, { properties }, tag);
                await refresh();
                setSaved(true);
                after?.();
              }, etag, () => { setReloaded((n) => n + 1); void refresh(); });
            }}
          />
          {saved && <Text size="sm" role="status">{t('Saved.')}</Text>}
          {remove && (
            <Group>
              <Button color="red" variant="outline" onClick={() => setAsked(true)}>{t('Delete')}</Button>
              <Ask
                opened={asked}
                title={t('Delete {{name}}?', { name: data.name })}
                text={remove.text}
                name={remove.items && remove.items.length > 0 ? data.name : undefined}
                action={t('Delete')}
                onClose={() => setAsked(false)}
                onYes={async () => {
                  await call('DELETE', path + (remove.query ?? ''), undefined, etag ?? '*');
                  remove.done();
                  await refresh();
                }}
              >
                {asked && (remove.items || remove.calls) && <Consequences items={remove.items ?? []} calls={remove.calls} />}
              </Ask>
            </Group>
          )}
          {dialog}
        </Stack>
      )}
    </Loaded>
  );
}
