import { Button, Stack, Text } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page } from '../shared/ui';
import { call, exists, nameOf, useGet, useRefresh, useService, type Resource } from './api';
import { Editor, Form, nested, type Field, type Removing, type Values } from './form';
import { deletion, ResourceTable, type Column } from './table';

/** What the pages of a kind of resource need to know: a list, and a page for each with what can be set. */
export interface Kind<P> {
  /** Segment of the API's paths, below `parent`. */
  segment: string;
  /** What the resources belong to, where that is not the service. */
  parent?: string;
  /** Where the pages are: `/$service/loggers`, each resource one step below. */
  route: string;
  title: string;
  /** What they are for. */
  about?: string;
  add: string;
  /** What is said when the name of a new one is taken. */
  taken: string;
  /** Field by which the list is searched; `null` where the server cannot. */
  searched: string | null;
  columns: (link: (row: Resource<P>, label: ReactNode) => ReactNode) => Column<P>[];
  fields: (isNew: boolean) => Field[];
  initial: Values;
  /** What the form holds, where that is not the properties by their paths. */
  read?: (properties: Values) => Values;
  /** Whether it is written whole, for want of a PATCH. */
  whole?: boolean;
  /** Whether it goes to the trash when it is deleted. */
  restorable?: boolean;
  /** What the API gets, where that is not what the form holds. */
  sent?: (values: Values) => Values;
  /** Field of which the name of a new one is made; without it, the name is typed. */
  named?: string;
  shown?: (row: Resource<P>) => string | null | undefined;
  deletion: string;
  calls?: (row: Resource<P>) => Removing['calls'];
  /** More about one that there is. */
  extra?: (row: Resource<P>) => ReactNode;
}

function useTo(route: string) {
  const service = useService();
  return (name?: string) => ({ to: (name === undefined ? route : `${route}/$name`) as '/$service', params: { service: service.name, ...(name === undefined ? {} : { name }) } as { service: string } });
}

export function KindList<P>({ kind, children }: { kind: Kind<P>; children?: ReactNode }) {
  const { t } = useTranslation();
  const service = useService();
  const to = useTo(kind.route);
  return (
    <Page title={kind.title} actions={<Button renderRoot={(p) => <Link {...to('new')} {...p} />}>{kind.add}</Button>}>
      {kind.about && <Text size="sm">{kind.about}</Text>}
      <ResourceTable<P> label={kind.title} path={`${kind.parent ?? service.id}/${kind.segment}`} searched={kind.searched} bulk={kind.restorable === false ? [] : [deletion(t('Delete'), kind.deletion)]} titleOf={(row) => kind.shown?.(row) || row.name} columns={kind.columns((row, label) => <Link {...to(row.name)}>{label}</Link>)} />
      {children}
    </Page>
  );
}

export function KindPage<P>({ kind }: { kind: Kind<P> }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const to = useTo(kind.route);
  const { name = '' } = useParams({ strict: false }) as { name?: string };
  const base = `${kind.parent ?? service.id}/${kind.segment}`;
  const query = useGet<Resource<P>>(name === 'new' ? undefined : `${base}/${name}`);
  const sent = (values: Values) => (kind.sent ? kind.sent(values) : values);
  if (name === 'new') {
    return (
      <Page title={kind.add}>
        <Form
          label={t('Create')}
          initial={kind.initial}
          fields={[...(kind.named ? [] : [{ name: 'name', label: t('Name'), required: true, help: t('Letters, digits and hyphens; part of the addresses.') }]), ...kind.fields(true)]}
          submit={async ({ name: typed, ...values }) => {
            const path = `${base}/${kind.named ? nameOf(String(values[kind.named] ?? '')) : String(typed ?? '').trim()}`;
            if (await exists(path)) throw new Error(kind.taken);
            await call('PUT', path, { properties: nested(sent(values)) });
            await refresh();
            await navigate(to());
          }}
        />
      </Page>
    );
  }
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={kind.shown?.(data) || data.name}>
          <Stack>
            <Editor key={name} path={`${base}/${name}`} fields={kind.fields(false)} keep={kind.sent} read={kind.read} whole={kind.whole} remove={{ text: kind.deletion, restorable: kind.restorable, calls: kind.calls?.(data), done: () => navigate(to()) }} />
            {kind.extra?.(data)}
          </Stack>
        </Page>
      )}
    </Loaded>
  );
}
