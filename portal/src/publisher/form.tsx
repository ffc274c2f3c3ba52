import { Button, Group, Modal, MultiSelect, NumberInput, PasswordInput, Select, Stack, Switch, Table, TagsInput, Text, Textarea, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useBlocker } from '@tanstack/react-router';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../shared/failure';
import { Ask, Loaded, Problem } from '../shared/ui';
import { call, useGet, useRefresh, useService, type Resource } from './api';
import { linked, useKindName } from './names';
import { report, type Counts } from './reports';

export type Values = Record<string, unknown>;

/** A member, by its path in dots. */
export function memberOf(properties: Values | undefined, name: string): unknown {
  return name.split('.').reduce<unknown>((at, part) => (at as Values | null | undefined)?.[part], properties);
}

/** Values by paths in dots, as the object that they are parts of. */
export function nested(values: Values): Values {
  const whole: Values = {};
  for (const [name, value] of Object.entries(values)) {
    const parts = name.split('.');
    let at = whole;
    for (const part of parts.slice(0, -1)) at = (at[part] ??= {}) as Values;
    at[parts[parts.length - 1]] = value;
  }
  return whole;
}

export interface Field {
  /** Path in dots below `properties`. */
  name: string;
  label: string;
  /** `list`: texts of any kind; `choices`: some of the options. */
  kind?: 'text' | 'url' | 'area' | 'code' | 'select' | 'switch' | 'number' | 'password' | 'list' | 'choices';
  options?: { value: string; label: string }[];
  required?: boolean;
  help?: string;
  placeholder?: string;
  disabled?: boolean;
  /** Whether the field is there, by what the others hold. */
  when?: (values: Values) => boolean;
}

export const MONO = { input: { fontFamily: 'var(--mantine-font-family-monospace)' } };

export function Fields({ fields, values, change, failure }: { fields: Field[]; values: Values; change: (values: Values) => void; failure?: Failure }) {
  return (
    <>
      {fields.filter((f) => f.when?.(values) ?? true).map((f) => {
        const common = { label: f.label, description: f.help, required: f.required, disabled: f.disabled, error: failure?.of(f.name), name: f.name, placeholder: f.placeholder };
        const set = (value: unknown) => change({ ...values, [f.name]: value });
        const text = (values[f.name] as string | undefined) ?? '';
        switch (f.kind) {
          case 'area':
            return <Textarea key={f.name} {...common} autosize minRows={2} maxRows={20} value={text} onChange={(e) => set(e.currentTarget.value)} />;
          case 'code':
            return <Textarea key={f.name} {...common} autosize minRows={8} maxRows={30} spellCheck={false} value={text} onChange={(e) => set(e.currentTarget.value)} styles={MONO} />;
          case 'select':
            return <Select key={f.name} {...common} data={f.options ?? []} value={text} allowDeselect={false} onChange={(v) => set(v)} />;
          case 'list':
            return <TagsInput key={f.name} {...common} required={false} withAsterisk={f.required} value={(values[f.name] as string[] | null | undefined) ?? []} onChange={set} />;
          case 'choices':
            return <MultiSelect key={f.name} {...common} required={false} withAsterisk={f.required} data={f.options ?? []} value={(values[f.name] as string[] | null | undefined) ?? []} onChange={set} />;
          case 'url':
            return <TextInput key={f.name} {...common} type="url" value={text} onChange={(e) => set(e.currentTarget.value)} styles={MONO} />;
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

/** Asks before what was typed is lost by leaving the page. */
export function useUnsaved(dirty: () => boolean) {
  const { t } = useTranslation();
  const { status, proceed, reset } = useBlocker({
    // Another tab or page of the same thing is no leaving.
    shouldBlockFn: ({ current, next }) => current.pathname !== next.pathname && dirty(),
    enableBeforeUnload: dirty,
    withResolver: true,
  });
  return (
    <Modal opened={status === 'blocked'} onClose={() => reset?.()} title={t('Leave without saving?')} closeButtonProps={{ 'aria-label': t('Close') }}>
      <Stack>
        <Text size="sm">{t('What you typed on this page is not saved.')}</Text>
        <Group justify="flex-end">
          <Button variant="default" data-autofocus onClick={() => reset?.()}>{t('Stay')}</Button>
          <Button color="red" onClick={() => proceed?.()}>{t('Leave')}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/**
 * What every form does with its sending: it shows what was refused and takes the reader to the first field that it is about,
 * and it asks before what was typed is lost. `typed` is all that the form holds; sending that ends with `false` saved nothing.
 */
export function useSubmit(typed: unknown, submit: () => Promise<unknown>) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const now = JSON.stringify(typed);
  const kept = useRef(now);
  const sending = useRef(false);
  const leaving = useUnsaved(() => now !== kept.current && !sending.current);
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    sending.current = true;
    submit()
      .then(
        (done) => { if (done !== false) kept.current = now; },
        (failure: unknown) => {
          setError(failure);
          // After the fields have got their messages.
          requestAnimationFrame(() => form.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus());
        },
      )
      .finally(() => { sending.current = false; setBusy(false); });
  };
  return { failure: error instanceof Failure ? error : undefined, busy, form: { ref: form, onSubmit }, notices: <>{error !== undefined && <Problem error={error} />}{leaving}</> };
}

/** A form that sends what was typed; what the API refuses is shown at its fields. */
export function Form({ fields, initial, submit, label, extra }: { fields: Field[]; initial: Values; submit: (values: Values) => Promise<unknown>; label: string; extra?: (values: Values) => ReactNode }) {
  const [values, setValues] = useState(initial);
  const { failure, busy, form, notices } = useSubmit(values, () => submit(values));
  return (
    <form {...form}>
      <Stack maw={640}>
        {notices}
        <Fields fields={fields} values={values} change={setValues} failure={failure} />
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
  const [conflict, setConflict] = useState<{ mine: Values; theirs: Values; overwrite: () => Promise<unknown>; reload: () => void; labels?: Record<string, string> }>();
  const dialog = conflict && (
    <Modal opened onClose={() => setConflict(undefined)} title={t('Somebody else changed this meanwhile')} size="lg" closeButtonProps={{ 'aria-label': t('Close') }}>
      <Stack>
        <Text size="sm">{t('What you typed is kept. Choose what counts.')}</Text>
        <Table>
          <Table.Thead><Table.Tr><Table.Th>{t('Field')}</Table.Th><Table.Th>{t('Yours')}</Table.Th><Table.Th>{t('Current')}</Table.Th></Table.Tr></Table.Thead>
          <Table.Tbody>
            {Object.keys(conflict.mine).filter((k) => JSON.stringify(conflict.mine[k] ?? null) !== JSON.stringify(memberOf(conflict.theirs, k) ?? null)).map((k) => (
              <Table.Tr key={k}><Table.Td>{conflict.labels?.[k] ?? k}</Table.Td><Table.Td className="mono">{show(conflict.mine[k])}</Table.Td><Table.Td className="mono">{show(memberOf(conflict.theirs, k))}</Table.Td></Table.Tr>
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
  const guard = async (path: string, mine: Values, save: (etag?: string) => Promise<unknown>, etag: string | null, reload: () => void, labels?: Record<string, string>) => {
    try {
      await save(etag ?? undefined);
      return true;
    } catch (error) {
      if (!(error instanceof Failure && error.status === 412)) throw error;
      const current = await call<Resource>('GET', path);
      setConflict({ mine, theirs: current.data.properties, reload, labels, overwrite: () => save(current.etag ?? '*') });
      return false;
    }
  };
  return { dialog, guard };
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}

/** By which field which report knows the calls to a resource. */
export interface CallsTo {
  report: string;
  field: string;
  value: string;
}

/** Resources or links of one type. */
export interface Content {
  type: string;
  count: number;
  names: string[];
}

const WEEK_MS = 7 * 24 * 3600_000;
/** How many names stand in a line before the rest is only counted. */
const NAMES = 5;

/** What belongs to a resource and goes or comes with it. */
export function Contents({ contents, label }: { contents: Content[]; label: string }) {
  const { t, i18n } = useTranslation();
  const kindName = useKindName();
  const number = new Intl.NumberFormat(i18n.language);
  return (
    <Table aria-label={label} variant="vertical">
      <Table.Tbody>
        {contents.filter((c) => c.type.includes('/') || !c.type.includes('_')).map((c) => {
          const link = linked(c.type);
          // Links have made-up names, and every policy the same.
          const names = link ? [] : [...new Set(c.names)].filter((name) => name !== 'policy');
          return (
            <Table.Tr key={c.type}>
              <Table.Th>{link ? t('{{kind}} (only the link)', { kind: link.map(kindName).join(' – ') }) : kindName(c.type)}</Table.Th>
              <Table.Td>{number.format(c.count)}{names.length > 0 && <Text span size="sm" className="mono"> {names.slice(0, NAMES).join(', ')}{c.count > NAMES ? ' …' : ''}</Text>}</Table.Td>
            </Table.Tr>
          );
        })}
      </Table.Tbody>
    </Table>
  );
}

/** How much was called lately what is about to go. */
export function RecentCalls({ calls }: { calls: CallsTo }) {
  const { t, i18n } = useTranslation();
  const service = useService();
  const recent = useQuery({
    queryKey: ['recent', service.id, calls.value],
    queryFn: async () => {
      const rows = await report<Counts>(service, calls.report, Date.now() - WEEK_MS, encodeURIComponent(` and ${calls.field} eq '${calls.value}'`));
      return rows.reduce((sum, row) => sum + row.callCountTotal, 0);
    },
  });
  return (
    <Table aria-label={t('Calls')} variant="vertical">
      <Table.Tbody>
        <Table.Tr><Table.Th>{t('Calls of the last 7 days')}</Table.Th><Table.Td>{recent.data !== undefined ? new Intl.NumberFormat(i18n.language).format(recent.data) : recent.error ? '?' : '…'}</Table.Td></Table.Tr>
      </Table.Tbody>
    </Table>
  );
}

/** What deleting resources would take with them, as the server tells it before; `undefined` until it has. */
export function usePlan(paths: string[]) {
  const service = useService();
  return useQuery({
    queryKey: ['plan', ...paths],
    enabled: paths.length > 0,
    staleTime: 0,
    queryFn: async () => {
      const plans = await Promise.all(paths.map(async (path) => (await call<{ contents: Content[] }>('GET', `${service.id}/deletionPlan?resource=${encodeURIComponent(path)}`)).data.contents));
      const whole = new Map<string, Content>();
      for (const part of plans.flat()) {
        const known = whole.get(part.type);
        whole.set(part.type, { type: part.type, count: part.count + (known?.count ?? 0), names: [...(known?.names ?? []), ...part.names] });
      }
      return [...whole.values()];
    },
  });
}

/** Shows a plan. */
export function Plan({ plan }: { plan: ReturnType<typeof usePlan> }) {
  const { t } = useTranslation();
  return (
    <>
      <Loaded query={plan}>{(contents) => contents.length > 0 && <><Text size="sm" fw={600}>{t('With it goes:')}</Text><Contents contents={contents} label={t('What is affected')} /></>}</Loaded>
      <Text size="sm">{t('For 30 days it can be restored from the trash.')}</Text>
    </>
  );
}

export interface Removing {
  path: string;
  name: string;
  etag: string | null;
  text: string;
  query?: string;
  calls?: CallsTo;
  /** Whether it can be had back from the trash; what is not in there has no plan either. */
  restorable?: boolean;
  label?: string;
  done: () => unknown;
}

/** Deletes a resource, after the server has told what goes with it; where that is something, its name must be typed. */
export function Removal({ path, name, etag, text, query = '', calls, restorable = true, label, done }: Removing) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [asked, setAsked] = useState(false);
  const plan = usePlan(asked && restorable ? [path] : []);
  const taken = plan.data ?? [];
  return (
    <Group>
      <Button color="red" variant="outline" onClick={() => setAsked(true)}>{label ?? t('Delete')}</Button>
      <Ask
        opened={asked}
        title={t('Delete {{name}}?', { name })}
        text={text}
        name={taken.length > 0 ? name : undefined}
        action={t('Delete')}
        onClose={() => setAsked(false)}
        onYes={async () => {
          await call('DELETE', path + query, undefined, etag ?? '*');
          await done();
          await refresh();
        }}
      >
        {asked && (
          <>
            {restorable && <Plan plan={plan} />}
            {calls && <RecentCalls calls={calls} />}
          </>
        )}
      </Ask>
    </Group>
  );
}

/**
 * Edits the properties of one resource: `read` makes what the form holds of them, `keep` what is sent of it. Only what was changed
 * is sent, unless the kind has no PATCH (`whole`).
 */
export function Editor({ path, fields, remove, keep, after, extra, read, whole }: { path: string; fields: Field[]; read?: (properties: Values) => Values; whole?: boolean; extra?: (values: Values) => ReactNode; remove?: Omit<Removing, 'path' | 'name' | 'etag'>; keep?: (properties: Values) => Values; after?: () => void }) {
  const { t } = useTranslation();
  const query = useGet<Resource>(path);
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const [reloaded, setReloaded] = useState(0);
  const [saved, setSaved] = useState(false);
  return (
    <Loaded query={query}>
      {({ data, etag }) => {
        const held = read ? read(data.properties) : Object.fromEntries(fields.map((f) => [f.name, memberOf(data.properties, f.name)]));
        return (
        <Stack>
          <Form
            key={`${etag}${reloaded}`}
            fields={fields}
            initial={held}
            label={t('Save')}
            extra={extra}
            submit={async (values) => {
              setSaved(false);
              const changed = whole ? values : Object.fromEntries(Object.entries(values).filter(([k, v]) => JSON.stringify(v ?? null) !== JSON.stringify(held[k] ?? null)));
              const kept = keep ? keep(changed) : changed;
              return guard(path, kept, async (tag) => {
                await call(whole ? 'PUT' : 'PATCH', path, { properties: nested(kept) }, tag);
                await refresh();
                setSaved(true);
                after?.();
              }, etag, () => { setReloaded((n) => n + 1); void refresh(); }, Object.fromEntries(fields.map((f) => [f.name, f.label])));
            }}
          />
          {saved && <Text size="sm" role="status">{t('Saved.')}</Text>}
          {remove && <Removal {...remove} path={path} name={data.name} etag={etag} />}
          {dialog}
        </Stack>
        );
      }}
    </Loaded>
  );
}
