import { Button, Group, Pagination, Stack, Table, Text, TextInput, UnstyledButton, VisuallyHidden } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useRef, useState, type ReactNode } from 'react';
import { useHotkeys } from '@mantine/hooks';
import { useTranslation } from 'react-i18next';
import { Loaded } from '../shared/ui';
import { useList, type Resource } from './api';

const ROWS = 25;

export interface Column<P> {
  label: string;
  /** Field by which the server can order the list. */
  sort?: string;
  cell: (row: Resource<P>) => ReactNode;
}

export interface Search {
  q?: string;
  page?: number;
  state?: string;
  /** Field, with a hyphen before it for the other direction. */
  sort?: string;
}

/** A list: filter, order and page stand in the address, and the server does all three. */
export function ResourceTable<P>({ path, columns, label, searched = 'displayName', filter, empty, order }: { path: string; columns: Column<P>[]; label: string; searched?: string | null; filter?: string; empty?: ReactNode; order?: string }) {
  const { t } = useTranslation();
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const [typed, setTyped] = useState(search.q ?? '');
  const page = search.page ?? 1;
  const input = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => input.current?.focus()]]);
  const sort = search.sort ?? order;
  const ordered = sort ? `&$orderby=${encodeURIComponent(sort.startsWith('-') ? `${sort.slice(1)} desc` : sort)}` : '';
  const filters = [filter, search.q && searched ? `contains(${searched},'${search.q.replaceAll("'", "''")}')` : undefined].filter(Boolean);
  const query = useList<P>(`${path}?$top=${ROWS}&$skip=${(page - 1) * ROWS}${ordered}${filters.length > 0 ? `&$filter=${encodeURIComponent(filters.join(' and '))}` : ''}`);
  const to = (more: Search) => void navigate({ to: '.', search: { ...search, ...more } as never });
  return (
    <Stack>
      {searched && (
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
              {total > ROWS ? <Text size="sm" c="dimmed" role="status">{t('{{count}} in the list', { count: total })}</Text> : <VisuallyHidden role="status">{t('{{count}} in the list', { count: total })}</VisuallyHidden>}
              {data.value.length === 0 ? (
                <Text>{empty ?? t('There is nothing here yet.')}</Text>
              ) : (
                <Table.ScrollContainer minWidth={500}>
                  <Table aria-label={label} highlightOnHover>
                    <Table.Thead><Table.Tr>{columns.map((c) => <Heading key={c.label} column={c} sort={sort} change={(next) => to({ sort: next, page: undefined })} />)}</Table.Tr></Table.Thead>
                    <Table.Tbody>
                      {data.value.map((row) => <Table.Tr key={row.id}>{columns.map((c) => <Table.Td key={c.label}>{c.cell(row)}</Table.Td>)}</Table.Tr>)}
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
