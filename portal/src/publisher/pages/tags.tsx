import { Button, Group, Select, Stack, Table, TagsInput, Text, Title } from '@mantine/core';
import { Link, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Problem } from '../../shared/ui';
import { call, nameOf, useGet, useList, useRefresh, useService, type Resource } from '../api';
import { KindList, KindPage, type Kind } from '../kind';

export interface Tag {
  displayName: string;
}
interface Tagged {
  tag: { name?: string };
  api?: { id: string; name: string };
  operation?: { id: string; name: string; apiName: string };
  product?: { id: string; name: string };
}

function useTags(): Kind<Tag> {
  const { t } = useTranslation();
  return {
    segment: 'tags',
    route: '/$service/tags',
    title: t('Tags'),
    about: t('Labels of APIs, operations and products; developers filter the catalogue by them.'),
    add: t('Add a tag'),
    taken: t('There is a tag of that name.'),
    searched: 'displayName',
    named: 'displayName',
    initial: {},
    fields: () => [{ name: 'displayName', label: t('Display name'), required: true }],
    columns: (link) => [{ label: t('Name'), sort: 'displayName', cell: (x) => link(x, x.properties.displayName) }],
    shown: (x) => x.properties.displayName,
    deletion: t('Whatever has it loses it.'),
    extra: (x) => <Bearers tag={x} />,
  };
}

export function Tags() {
  return <KindList kind={useTags()} />;
}

export function TagPage() {
  return <KindPage kind={useTags()} />;
}

/** What has a tag. */
function Bearers({ tag }: { tag: Resource<Tag> }) {
  const { t } = useTranslation();
  const service = useService();
  const query = useGet<{ value: { name: string; properties: { displayName: string } }[] }>(`${service.id}/apis?$top=100&tag=${tag.name}`);
  const products = useGet<{ value: { name: string; properties: { displayName: string } }[] }>(`${service.id}/products?$top=100&tag=${tag.name}`);
  const operations = useGet<{ value: Tagged[] }>(`${service.id}/tagResources?$top=1000`);
  return (
    <Stack gap="xs">
      <Title order={2} size="h4">{t('What has it')}</Title>
      <Table aria-label={t('What has it')} variant="vertical">
        <Table.Tbody>
          <Table.Tr><Table.Th>{t('APIs')}</Table.Th><Table.Td><Loaded query={query}>{({ data }) => <Group gap="xs">{data.value.map((a) => <Link key={a.name} to="/$service/apis/$api" params={{ service: service.name, api: a.name }}>{a.properties.displayName}</Link>)}</Group>}</Loaded></Table.Td></Table.Tr>
          <Table.Tr><Table.Th>{t('Products')}</Table.Th><Table.Td><Loaded query={products}>{({ data }) => <Group gap="xs">{data.value.map((p) => <Link key={p.name} to="/$service/products/$product" params={{ service: service.name, product: p.name }}>{p.properties.displayName}</Link>)}</Group>}</Loaded></Table.Td></Table.Tr>
          <Table.Tr><Table.Th>{t('Operations')}</Table.Th><Table.Td><Loaded query={operations}>{({ data }) => (
            <Group gap="xs">{data.value.filter((r) => r.operation && r.tag.name === tag.properties.displayName).map(({ operation: o }) => {
              const [, , api = '', , operation = ''] = o?.id.split('/') ?? [];
              return <Link key={o?.id} to="/$service/apis/$api/operations/$operation" params={{ service: service.name, api, operation }}>{o?.apiName}: {o?.name}</Link>;
            })}</Group>
          )}</Loaded></Table.Td></Table.Tr>
        </Table.Tbody>
      </Table>
    </Stack>
  );
}

/** The tags of an API, an operation or a product; what is typed and is no tag yet becomes one. */
export function TagsOf({ path }: { path: string }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const all = useList<Tag>(`${service.id}/tags?$top=1000`);
  const its = useList<Tag>(`${path}/tags?$top=100`);
  const [error, setError] = useState<unknown>();
  const change = async (names: string[], stored: Resource<Tag>[]) => {
    for (const tag of stored.filter((x) => !names.includes(x.properties.displayName))) await call('DELETE', `${path}/tags/${tag.name}`, undefined, '*');
    for (const displayName of names.filter((n) => !stored.some((x) => x.properties.displayName === n))) {
      const known = all.data?.value.find((x) => x.properties.displayName.toLowerCase() === displayName.toLowerCase());
      const name = known?.name ?? nameOf(displayName);
      if (!known) await call('PUT', `${service.id}/tags/${name}`, { properties: { displayName } });
      await call('PUT', `${path}/tags/${name}`);
    }
    await refresh();
  };
  return (
    <Stack gap="xs" maw={640}>
      {error !== undefined && <Problem error={error} />}
      <Loaded query={its}>
        {({ value }) => (
          <TagsInput label={t('Tags')} description={t('Enter adds one; it is saved at once.')} data={all.data?.value.map((x) => x.properties.displayName) ?? []} value={value.map((x) => x.properties.displayName)}
            onChange={(names) => { setError(undefined); change(names, value).catch(setError); }} />
        )}
      </Loaded>
    </Stack>
  );
}

/** Up to how many tags all of them are buttons. */
const BUTTONS = 12;

/** Filters a list by a tag, which stands in the address. */
export function TagFilter({ change }: { change: (tag?: string) => void }) {
  const { t } = useTranslation();
  const service = useService();
  const { tag } = useSearch({ strict: false }) as { tag?: string };
  const all = useList<Tag>(`${service.id}/tags?$top=1000`);
  if (!all.data || all.data.value.length === 0) return null;
  if (all.data.value.length > BUTTONS) {
    return (
      <Select aria-label={t('Tags')} placeholder={t('Tags')} searchable clearable clearButtonProps={{ 'aria-label': t('All') }} maw={320} value={tag ?? null} onChange={(next) => change(next ?? undefined)}
        data={all.data.value.map((x) => ({ value: x.name, label: x.properties.displayName }))} />
    );
  }
  return (
    <Group gap="xs" role="group" aria-label={t('Tags')}>
      <Button size="compact-sm" variant={tag ? 'default' : 'filled'} aria-pressed={!tag} onClick={() => change()}>{t('All')}</Button>
      {all.data.value.map((x) => <Button key={x.name} size="compact-sm" variant={tag === x.name ? 'filled' : 'default'} aria-pressed={tag === x.name} onClick={() => change(x.name)}>{x.properties.displayName}</Button>)}
      {tag && !all.data.value.some((x) => x.name === tag) && <Text size="sm">{tag}</Text>}
    </Group>
  );
}
