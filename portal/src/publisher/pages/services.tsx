import { Button, Group, Stack, Table, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Ask, Loaded, Page, Problem, State } from '../../shared/ui';
import { call, PROVIDER, useRefresh, useServices } from '../api';

export function Services() {
  const { t } = useTranslation();
  const services = useServices();
  return (
    <Page title={t('Services')} actions={<Button renderRoot={(p) => <Link to="/new-service" {...p} />}>{t('Create a service')}</Button>}>
      <Loaded query={services}>
        {(all) =>
          all.length === 0 ? (
            <Text>{t('There is no service yet. Create the first one.')}</Text>
          ) : (
            <Table aria-label={t('Services')}>
              <Table.Thead><Table.Tr><Table.Th>{t('Name')}</Table.Th><Table.Th>{t('State')}</Table.Th><Table.Th>{t('Gateway URL')}</Table.Th></Table.Tr></Table.Thead>
              <Table.Tbody>
                {all.map((s) => (
                  <Table.Tr key={s.id}>
                    <Table.Td><Link to="/$service" params={{ service: s.name }}>{s.name}</Link></Table.Td>
                    <Table.Td><State value={s.properties.provisioningState} /></Table.Td>
                    <Table.Td className="mono">{s.properties.gatewayUrl}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Loaded>
      <DeletedServices />
    </Page>
  );
}

interface Deleted {
  id: string;
  name: string;
  location: string;
  properties: { serviceId: string; deletionDate: string; scheduledPurgeDate: string };
}

/** Services that can still be had back; nothing at all where there are none. */
function DeletedServices() {
  const { t, i18n } = useTranslation();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const [purged, setPurged] = useState<Deleted>();
  const query = useQuery({
    queryKey: ['deletedservices'],
    queryFn: async () => {
      const subscriptions = (await call<{ value: { subscriptionId: string }[] }>('GET', '/subscriptions')).data.value;
      const lists = await Promise.all(subscriptions.map((s) => call<{ value: Deleted[] }>('GET', `/subscriptions/${s.subscriptionId}/${PROVIDER}/deletedservices`)));
      return lists.flatMap((l) => l.data.value);
    },
  });
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium', timeStyle: 'short' });
  const restore = (service: Deleted) => {
    setError(undefined);
    // The contract wants these of every PUT; what was stored counts.
    const body = { location: service.location, sku: { name: 'Developer', capacity: 1 }, properties: { restore: true, publisherName: service.name, publisherEmail: 'restored@localhost.localdomain' } };
    call('PUT', service.properties.serviceId, body).then(refresh, setError);
  };
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (!query.data || query.data.length === 0) return null;
  return (
    <Stack gap="xs" component="section" aria-label={t('Deleted services')}>
      <Title order={2} size="h4">{t('Deleted services')}</Title>
      {error !== undefined && <Problem error={error} />}
      <Table aria-label={t('Deleted services')}>
        <Table.Thead><Table.Tr>{[t('Name'), t('Deleted'), t('Kept until'), t('Actions')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
        <Table.Tbody>
          {query.data.map((s) => (
            <Table.Tr key={s.id}>
              <Table.Td>{s.name}</Table.Td>
              <Table.Td>{date.format(new Date(s.properties.deletionDate))}</Table.Td>
              <Table.Td>{date.format(new Date(s.properties.scheduledPurgeDate))}</Table.Td>
              <Table.Td>
                <Group gap={4}>
                  <Button size="compact-sm" variant="default" aria-label={t('Restore {{name}}', { name: s.name })} onClick={() => restore(s)}>{t('Restore')}</Button>
                  <Button size="compact-sm" color="red" variant="outline" aria-label={t('Delete {{name}} for good', { name: s.name })} onClick={() => setPurged(s)}>{t('Delete for good')}</Button>
                </Group>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Ask opened={purged !== undefined} title={t('Delete {{name}} for good', { name: purged?.name ?? '' })} name={purged?.name} text={t('Everything in it goes, and it cannot be restored any more.')} action={t('Delete for good')} onClose={() => setPurged(undefined)}
        onYes={async () => { if (purged) await call('DELETE', purged.id); await refresh(); }} />
    </Stack>
  );
}
