import { Button, Code, Drawer, Group, Stack, Table, Text, TextInput } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Page } from '../../shared/ui';
import { useService, type Resource } from '../api';
import { ResourceTable, type Search } from '../table';

interface Entry {
  recordedAt: string;
  caller: string;
  address: string;
  requestId: string;
  action: string;
  resource: string;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  sequence: number | null;
  hash: string | null;
}

/** Who did what, newest first. */
export function Audit() {
  const { t, i18n } = useTranslation();
  const service = useService();
  const search = useSearch({ strict: false }) as Search & { caller?: string };
  const navigate = useNavigate();
  const [caller, setCaller] = useState(search.caller ?? '');
  const [open, setOpen] = useState<Resource<Entry>>();
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'medium' });
  return (
    <Page title={t('Audit log')}>
      <form onSubmit={(e) => { e.preventDefault(); void navigate({ to: '.', search: { ...search, caller: caller || undefined, page: undefined } as never }); }}>
        <Group align="flex-end"><TextInput label={t('Who')} value={caller} onChange={(e) => setCaller(e.currentTarget.value)} /><Button type="submit" variant="default">{t('Only theirs')}</Button></Group>
      </form>
      <ResourceTable<Entry>
        key={search.caller}
        label={t('Audit log')}
        path={`${service.id}/auditEntries`}
        searched="resource"
        order="-recordedAt"
        filter={search.caller ? `contains(caller,'${search.caller.replaceAll("'", "''")}')` : undefined}
        columns={[
          { label: t('Time'), sort: 'recordedAt', cell: (e) => date.format(new Date(e.properties.recordedAt)) },
          { label: t('Who'), sort: 'caller', cell: (e) => e.properties.caller },
          { label: t('Action'), sort: 'action', cell: (e) => <span className="mono">{e.properties.action.replace(/^Microsoft\.ApiManagement\/service\//, '')}</span> },
          { label: t('Resource'), sort: 'resource', cell: (e) => <span className="mono">{e.properties.resource.split('/').slice(-2).join('/')}</span> },
          { label: t('Details'), cell: (e) => <Button size="compact-xs" variant="default" aria-label={t('Details of {{action}} {{name}}', { action: e.properties.action, name: e.properties.resource.split('/').pop() })} onClick={() => setOpen(e)}>{t('Details')}</Button> },
        ]}
      />
      <Drawer opened={open !== undefined} onClose={() => setOpen(undefined)} title={open?.properties.action} position="right" size="xl" closeButtonProps={{ 'aria-label': t('Close') }}>
        {open && <EntryDetails entry={open.properties} />}
      </Drawer>
    </Page>
  );
}

function EntryDetails({ entry: e }: { entry: Entry }) {
  const { t, i18n } = useTranslation();
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'full', timeStyle: 'long' });
  const changed = [...new Set([...Object.keys(e.before ?? {}), ...Object.keys(e.after ?? {})])].filter((k) => JSON.stringify(e.before?.[k]) !== JSON.stringify(e.after?.[k]));
  const shown = (value: unknown) => (value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value));
  return (
    <Stack>
      <Table variant="vertical" aria-label={t('Details')}>
        <Table.Tbody>
          {[[t('Time'), date.format(new Date(e.recordedAt))], [t('Who'), e.caller], [t('Address of the caller'), e.address], [t('Request id'), e.requestId], [t('Resource'), e.resource], [t('Number in the chain'), e.sequence ?? '…'], [t('Hash'), e.hash ?? '…']].map(([label, value]) => (
            <Table.Tr key={label}><Table.Th>{label}</Table.Th><Table.Td className="mono">{value}</Table.Td></Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {changed.length === 0 ? <Text size="sm">{t('No property changed.')}</Text> : (
        <Table aria-label={t('What changed')}>
          <Table.Thead><Table.Tr><Table.Th>{t('Field')}</Table.Th><Table.Th>{t('Before')}</Table.Th><Table.Th>{t('After')}</Table.Th></Table.Tr></Table.Thead>
          <Table.Tbody>{changed.map((k) => <Table.Tr key={k}><Table.Td><Code>{k}</Code></Table.Td><Table.Td className="mono">{shown(e.before?.[k])}</Table.Td><Table.Td className="mono">{shown(e.after?.[k])}</Table.Td></Table.Tr>)}</Table.Tbody>
        </Table>
      )}
    </Stack>
  );
}
