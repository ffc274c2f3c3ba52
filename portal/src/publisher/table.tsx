import { Button, Group, Pagination, Stack, Table, Text, TextInput, VisuallyHidden } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded } from '../shared/ui';
import { useList, type Resource } from './api';

const ROWS = 25;

export interface Column<P> {
  label: string;
  cell: (row: Resource<P>) => ReactNode;
}

export interface Search {
  q?: string;
  page?: number;
  state?: string;
}

/** A list: filter and page stand in the address, and the server does both. */
export function ResourceTable<P>({ path, columns, label, searched = 'displayName', filter, empty }: { path: string; columns: Column<P>[]; label: string; searched?: string | null; filter?: string; empty?: ReactNode }) {
  const { t } = useTranslation();
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const [typed, setTyped] = useState(search.q ?? '');
  const page = search.page ?? 1;
  const filters = [filter, search.q && searched ? `contains(${searched},'${search.q.replaceAll("'", "''")}')` : undefined].filter(Boolean);
  const query = useList<P>(`${path}?$top=${ROWS}&$skip=${(page - 1) * ROWS}${filters.length > 0 ? `&$filter=${encodeURIComponent(filters.join(' and '))}` : ''}`);
  const to = (more: Search) => void navigate({ to: '.', search: { ...search, ...more } as never });
  return (
    <Stack>
      {searched && (
        <form role="search" onSubmit={(e) => { e.preventDefault(); to({ q: typed || undefined, page: undefined }); }}>
          <Group gap="xs">
            <TextInput aria-label={t('Filter')} placeholder={t('Filter')} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} />
            <Button type="submit" variant="default">{t('Search')}</Button>
          </Group>
        </form>
      )}
      <Loaded query={query}>
        {(data) => {
          const total = data.count ?? data.value.length;
          return (
            <>
              <VisuallyHidden role="status">{t('{{count}} in the list', { count: total })}</VisuallyHidden>
              {data.value.length === 0 ? (
                <Text>{empty ?? t('There is nothing here yet.')}</Text>
              ) : (
                <Table.ScrollContainer minWidth={500}>
                  <Table aria-label={label} highlightOnHover>
                    <Table.Thead><Table.Tr>{columns.map((c) => <Table.Th key={c.label} scope="col">{c.label}</Table.Th>)}</Table.Tr></Table.Thead>
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
