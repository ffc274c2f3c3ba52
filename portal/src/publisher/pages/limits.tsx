import { Button, Code, Group, NumberInput, Stack, Switch, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../../shared/failure';
import { Loaded } from '../../shared/ui';
import { call, useRefresh, type Resource } from '../api';
import { useConflict, useSubmit } from '../form';
import { limitsOf, withLimits, type Limits as Wanted } from '../policy/limits';

const EMPTY = '<policies>\n\t<inbound>\n\t\t<base />\n\t</inbound>\n\t<backend>\n\t\t<base />\n\t</backend>\n\t<outbound>\n\t\t<base />\n\t</outbound>\n\t<on-error>\n\t\t<base />\n\t</on-error>\n</policies>';

/** How often and how much a product's subscribers may call: a form that writes the product's policies. */
export function Limits({ product }: { product: string }) {
  const path = `${product}/policies/policy`;
  const query = useQuery({
    queryKey: ['limits', path],
    queryFn: () => call<Resource<{ value: string }>>('GET', `${path}?format=rawxml`).then(
      (r) => ({ text: r.data.properties.value, etag: r.etag }),
      (e: unknown) => { if (e instanceof Failure && e.status === 404) return { text: EMPTY, etag: null }; throw e; },
    ),
  });
  // Kept here: each save makes another form, of another ETag.
  const [saved, setSaved] = useState(false);
  return <Loaded query={query}>{({ text, etag }) => <LimitsForm key={etag} path={path} text={text} etag={etag} saved={saved} setSaved={setSaved} />}</Loaded>;
}

function LimitsForm({ path, text, etag, saved, setSaved }: { path: string; text: string; etag: string | null; saved: boolean; setSaved: (saved: boolean) => void }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const [limits, setLimits] = useState<Wanted>(() => limitsOf(text));
  const { rate, quota } = limits;
  const set = (more: Wanted) => { setSaved(false); setLimits({ ...limits, ...more }); };
  const number = (value: string | number) => (value === '' ? undefined : Number(value));
  const { busy, form, notices } = useSubmit(limits, async () => {
    const value = withLimits(text, limits);
    return guard(path, { value }, async (tag) => {
      await call('PUT', path, { properties: { format: 'rawxml', value } }, tag);
      await refresh();
      setSaved(true);
    }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack maw={640}>
        {notices}
        <Switch label={t('Limit the rate of calls')} description={t('Beyond it callers get 429 and are told when to come back.')} checked={rate !== undefined} onChange={(e) => set({ rate: e.currentTarget.checked ? { calls: 5, seconds: 60 } : undefined })} />
        {rate && (
          <Group align="flex-end">
            <NumberInput label={t('Calls of each subscription')} required hideControls min={1} value={rate.calls} onChange={(v) => set({ rate: { ...rate, calls: Number(v) } })} />
            <NumberInput label={t('in how many seconds')} required hideControls min={1} max={300} value={rate.seconds} onChange={(v) => set({ rate: { ...rate, seconds: Number(v) } })} />
          </Group>
        )}
        <Switch label={t('Set a quota')} description={t('Beyond it callers get 403 until the period ends.')} checked={quota !== undefined} onChange={(e) => set({ quota: e.currentTarget.checked ? { calls: 100, seconds: 604_800 } : undefined })} />
        {quota && (
          <Group align="flex-end">
            <NumberInput label={t('Calls in a period')} hideControls min={1} required={quota.kilobytes === undefined} value={quota.calls ?? ''} onChange={(v) => set({ quota: { ...quota, calls: number(v) } })} />
            <NumberInput label={t('Kilobytes in a period')} hideControls min={1} required={quota.calls === undefined} value={quota.kilobytes ?? ''} onChange={(v) => set({ quota: { ...quota, kilobytes: number(v) } })} />
            <NumberInput label={t('Seconds of a period')} description={t('0: it never ends')} required hideControls min={0} value={quota.seconds} onChange={(v) => set({ quota: { ...quota, seconds: Number(v) } })} />
          </Group>
        )}
        <Text size="sm">{t('This is written into the policies of the product:')}</Text>
        <Code block tabIndex={0}>{withLimits('<policies>\n\t<inbound>\n\t\t<base />\n\t</inbound>\n</policies>', limits)}</Code>
        <Group><Button type="submit" loading={busy}>{t('Save the limits')}</Button>{saved && <Text role="status">{t('Saved.')}</Text>}</Group>
      </Stack>
      {dialog}
    </form>
  );
}
