import { Button, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Ask, Page, Problem } from '../../shared/ui';
import { call, useRefresh, useService, type Resource } from '../api';
import { Contents, type Content } from '../form';
import { useKindName } from '../names';
import { ResourceTable } from '../table';

interface Deleted {
  resource: string;
  resourceType: string;
  resourceName: string;
  deletionDate: string;
  deletedBy: string;
  scheduledPurgeDate: string;
  contents: Content[];
}
interface Restored {
  resource: string;
  contents: Content[];
  leftOut: Content[];
}

const restore = (row: Resource<Deleted>) => call<Restored>('POST', `${row.id}/restore`);

/** What was deleted in the last thirty days, and can come back with everything that went with it. */
export function Trash() {
  const { t, i18n } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const kindName = useKindName();
  const [back, setBack] = useState<Restored>();
  const [error, setError] = useState<unknown>();
  const [open, setOpen] = useState<Resource<Deleted>>();
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'short' });
  const day = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short' });
  const one = (row: Resource<Deleted>) => { setError(undefined); setBack(undefined); restore(row).then(async ({ data }) => { setBack(data); await refresh(); }, setError); };
  return (
    <Page title={t('Trash')}>
      <Text size="sm">{t('What was deleted is kept for 30 days with all that went with it: children, policies, subscriptions and their keys.')}</Text>
      {error !== undefined && <Problem error={error} />}
      {back && <Text role="status">{t('{{resource}} is restored.', { resource: back.resource.slice(service.id.length) })}{back.leftOut.length > 0 ? ` ${t('What needs something that is gone did not come back: {{what}}', { what: back.leftOut.map((c) => `${kindName(c.type)} (${c.count})`).join(', ') })}` : ''}</Text>}
      <ResourceTable<Deleted>
        label={t('Trash')}
        path={`${service.id}/deletedEntities`}
        searched="resourceName"
        order="-deletionDate"
        titleOf={(d) => d.properties.resourceName}
        empty={t('Nothing was deleted in the last 30 days.')}
        bulk={[
          { label: t('Restore'), run: restore },
          { label: t('Delete for good'), text: t('They cannot be restored any more.'), run: (row) => call('DELETE', row.id) },
        ]}
        columns={[
          { label: t('Name'), sort: 'resourceName', cell: (d) => d.properties.resourceName },
          { label: t('Kind'), sort: 'resourceType', cell: (d) => kindName(d.properties.resourceType) },
          { label: t('Deleted'), sort: 'deletionDate', cell: (d) => date.format(new Date(d.properties.deletionDate)) },
          { label: t('Who'), sort: 'deletedBy', cell: (d) => d.properties.deletedBy },
          { label: t('Kept until'), cell: (d) => day.format(new Date(d.properties.scheduledPurgeDate)) },
          {
            label: t('Actions'),
            cell: (d) => (
              <Group gap={4} wrap="nowrap">
                <Button size="compact-sm" variant="default" aria-label={t('Restore {{name}}', { name: d.properties.resourceName })} onClick={() => one(d)}>{t('Restore')}</Button>
                <Button size="compact-sm" color="red" variant="outline" aria-label={t('Delete {{name}} for good', { name: d.properties.resourceName })} onClick={() => setOpen(d)}>{t('Delete for good')}</Button>
              </Group>
            ),
          },
        ]}
      />
      <Ask
        opened={open !== undefined}
        title={t('Delete {{name}} for good', { name: open?.properties.resourceName ?? '' })}
        text={t('It cannot be restored any more.')}
        action={t('Delete for good')}
        onClose={() => setOpen(undefined)}
        onYes={async () => { if (open) await call('DELETE', open.id); await refresh(); }}
      >
        {open && open.properties.contents.length > 0 && <Contents contents={open.properties.contents} label={t('What is affected')} />}
      </Ask>
    </Page>
  );
}
