import { Button, Checkbox, Group, Pagination, Stack, Table, Text, TextInput, UnstyledButton, VisuallyHidden } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useRef, useState, type ReactNode } from 'react';
import { useHotkeys } from '@mantine/hooks';
import { useTranslation } from 'react-i18next';
import { Ask, Loaded, Problem } from '../shared/ui';
import { call, quoted, useList, useRefresh, type Resource } from './api';
import { Plan, usePlan } from './form';

const ROWS = 25;

export interface Column<P> {
  label: string;
  /** Field by which the server can order the list. */
  sort?: string;
  cell: (row: Resource<P>) => ReactNode;
}

/** What can be done with several rows at once, one after the other. */
export interface Bulk<P> {
  label: string;
  /** What is said before it is done; without it nothing is asked. */
  text?: string;
  /** Whether it deletes, so that what goes with the rows is shown before. */
  deletes?: boolean;
  /** Whether a row is one that it is for. */
  takes?: (row: Resource<P>) => boolean;
  run: (row: Resource<P>) => Promise<unknown>;
}

/** Deletes what was chosen. */
export function deletion<P>(label: string, text: string, query = ''): Bulk<P> {
  return { label, text, deletes: true, run: (row) => call('DELETE', row.id + query, undefined, '*') };
}

export interface Search {
  q?: string;
  page?: number;
  state?: string;
  /** Field, with a hyphen before it for the other direction. */
  sort?: string;
}

/**
 * A list: filter, order and page stand in the address, and the server does all three. It is searched by the field `searched`, or by
 * the query's `parameter` where a list has no filters.
 */
export function ResourceTable<P>({ path, columns, label, searched = 'displayName', parameter, filter, empty, order, bulk = [], titleOf = (row) => row.name }: { path: string; columns: Column<P>[]; label: string; searched?: string | null; parameter?: string; filter?: string; empty?: ReactNode; order?: string; bulk?: Bulk<P>[]; titleOf?: (row: Resource<P>) => string }) {
  const { t } = useTranslation();
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const [typed, setTyped] = useState(search.q ?? '');
  const page = search.page ?? 1;
  const input = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => input.current?.focus()]]);
  const sort = search.sort ?? order;
  const ordered = sort ? `&$orderby=${encodeURIComponent(sort.startsWith('-') ? `${sort.slice(1)} desc` : sort)}` : '';
  const filters = [filter, search.q && searched && !parameter ? `contains(${searched},${quoted(search.q)})` : undefined].filter(Boolean);
  const [chosen, setChosen] = useState<Resource<P>[]>([]);
  const address = `${path}${path.includes('?') ? '&' : '?'}$top=${ROWS}&$skip=${(page - 1) * ROWS}${ordered}${filters.length > 0 ? `&$filter=${encodeURIComponent(filters.join(' and '))}` : ''}${search.q && parameter ? `&${parameter}=${encodeURIComponent(search.q)}` : ''}`;
  const query = useList<P>(address);
  // What is on another page or filtered out is not chosen any more.
  const [shown, setShown] = useState(address);
  if (shown !== address) {
    setShown(address);
    setChosen([]);
  }
  const to = (more: Search) => void navigate({ to: '.', search: { ...search, ...more } as never });
  return (
    <Stack>
      {(searched || parameter) && (
        <form role="search" onSubmit={(e) => { e.preventDefault(); to({ q: typed || undefined, page: undefined }); }}>
          <Group gap="xs">
            <TextInput ref={input} aria-label={t('Filter')} aria-keyshortcuts="/" placeholder={t('Filter')} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} />
            <Button type="submit" variant="default">{t('Search')}</Button>
          </Group>
        </form>
      )}
      <Loaded query={query}>
        {(data) => {
          const total = data.count ?? data.value.length;
          return (
            <>
              {total > ROWS ? <Text size="sm" c="dimmed" role="status">{t('{{count, number}} rows', { count: total })}</Text> : <VisuallyHidden role="status">{t('{{count, number}} rows', { count: total })}</VisuallyHidden>}
              {bulk.length > 0 && <Together bulk={bulk} rows={data.value.filter((row) => chosen.some((c) => c.id === row.id))} titleOf={titleOf} done={() => setChosen([])} />}
              {data.value.length === 0 ? (
                <Text>{empty ?? t('There is nothing here yet.')}</Text>
              ) : (
                <Table.ScrollContainer minWidth={500}>
                  <Table aria-label={label} highlightOnHover>
                    <Table.Thead><Table.Tr>{bulk.length > 0 && <Table.Th w={36}><Checkbox aria-label={t('Choose all')} checked={chosen.length === data.value.length} indeterminate={chosen.length > 0 && chosen.length < data.value.length} onChange={(e) => setChosen(e.currentTarget.checked ? data.value : [])} /></Table.Th>}{columns.map((c) => <Heading key={c.label} column={c} sort={sort} change={(next) => to({ sort: next, page: undefined })} />)}</Table.Tr></Table.Thead>
                    <Table.Tbody>
                      {data.value.map((row) => <Table.Tr key={row.id}>{bulk.length > 0 && <Table.Td><Checkbox aria-label={t('Choose {{name}}', { name: titleOf(row) })} checked={chosen.some((c) => c.id === row.id)} onChange={(e) => setChosen(e.currentTarget.checked ? [...chosen, row] : chosen.filter((c) => c.id !== row.id))} /></Table.Td>}{columns.map((c) => <Table.Td key={c.label}>{c.cell(row)}</Table.Td>)}</Table.Tr>)}
                    </Table.Tbody>
                  </Table>
                </Table.ScrollContainer>
              )}
              {total > ROWS && (
                <Pagination
                  total={Math.ceil(total / ROWS)}
                  value={page}
                  onChange={(p) => to({ page: p === 1 ? undefined : p })}
                  getControlProps={(control) => ({ 'aria-label': control === 'next' ? t('Next page') : t('Previous page') })}
                  getItemProps={(p) => ({ 'aria-label': t('Page {{page}}', { page: p }) })}
                />
              )}
            </>
          );
        }}
      </Loaded>
    </Stack>
  );
}

/** Does something with all rows that are chosen, and says how far it is and what was refused. */
function Together<P>({ bulk, rows, titleOf, done }: { bulk: Bulk<P>[]; rows: Resource<P>[]; titleOf: (row: Resource<P>) => string; done: () => void }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [asked, setAsked] = useState<Bulk<P>>();
  const [at, setAt] = useState<{ done: number; all: number }>();
  const [refused, setRefused] = useState<{ title: string; error: unknown }[]>([]);
  const taken = (action: Bulk<P>) => rows.filter((row) => action.takes?.(row) ?? true);
  const plan = usePlan(asked?.deletes ? taken(asked).map((row) => row.id) : []);
  const run = async (action: Bulk<P>) => {
    const wanted = taken(action);
    const wrong: typeof refused = [];
    setRefused([]);
    for (const [i, row] of wanted.entries()) {
      setAt({ done: i, all: wanted.length });
      await action.run(row).catch((error: unknown) => wrong.push({ title: titleOf(row), error }));
    }
    setAt(undefined);
    setRefused(wrong);
    done();
    await refresh();
  };
  return (
    <Stack gap="xs">
      {refused.map(({ title, error }) => <div key={title}><Text size="sm" fw={600}>{title}</Text><Problem error={error} /></div>)}
      {at && <Text size="sm" role="status">{t('{{done}} of {{all}} done', at)}</Text>}
      {rows.length > 0 && !at && (
        <Group gap="xs" role="group" aria-label={t('With what is chosen')}>
          <Text size="sm" role="status">{t('{{count, number}} rows chosen', { count: rows.length })}</Text>
          {bulk.map((action) => (
            <Button key={action.label} size="compact-sm" variant={action.deletes ? 'outline' : 'default'} color={action.deletes ? 'red' : undefined} disabled={taken(action).length === 0} onClick={() => (action.text ? setAsked(action) : void run(action))}>{action.label}</Button>
          ))}
        </Group>
      )}
      <Ask opened={asked !== undefined} title={asked?.label ?? ''} text={asked?.text ?? ''} action={asked?.label ?? ''} onClose={() => setAsked(undefined)} onYes={async () => { if (asked) await run(asked); }}>
        {asked && <Text size="sm">{taken(asked).map(titleOf).join(', ')}</Text>}
        {asked?.deletes && <Plan plan={plan} />}
      </Ask>
    </Stack>
  );
}

function Heading<P>({ column, sort, change }: { column: Column<P>; sort?: string; change: (sort: string) => void }) {
  const down = sort === `-${column.sort}`;
  const up = sort !== undefined && sort === column.sort;
  if (!column.sort) return <Table.Th scope="col">{column.label}</Table.Th>;
  return (
    <Table.Th scope="col" aria-sort={up ? 'ascending' : down ? 'descending' : 'none'}>
      <UnstyledButton fz="inherit" fw="inherit" onClick={() => change(up ? `-${column.sort}` : (column.sort ?? ''))}>
        {column.label} <span aria-hidden>{up ? '▲' : down ? '▼' : '↕'}</span>
      </UnstyledButton>
    </Table.Th>
  );
}
