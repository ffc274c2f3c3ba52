import { Button, Group, SegmentedControl, Stack, Table, Text } from '@mantine/core';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Keys, Loaded, Page, Problem, State } from '../../shared/ui';
import { call, useGet, useList, useRefresh, useService, type Resource, type Schemas } from '../api';
import { Editor, Form, RecentCalls } from '../form';
import { deletion, ResourceTable, type Search } from '../table';

type Subscription = Schemas['SubscriptionContract'];

function tail(id: string | null | undefined): string {
  return id?.split('/').slice(-2).join('/') ?? '';
}

export function Subscriptions() {
  const { t } = useTranslation();
  const service = useService();
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  return (
    <Page title={t('Subscriptions')} actions={<Button renderRoot={(p) => <Link to="/$service/subscriptions/new" params={{ service: service.name }} {...p} />}>{t('Add a subscription')}</Button>}>
      <SegmentedControl
        aria-label={t('State')}
        value={search.state ?? ''}
        onChange={(state) => void navigate({ to: '.', search: { ...search, state: state || undefined, page: undefined } as never })}
        data={[{ value: '', label: t('All') }, { value: 'submitted', label: t('Waiting for approval') }, { value: 'active', label: t('active') }]}
      />
      <ResourceTable<Subscription>
        key={search.state}
        label={t('Subscriptions')}
        path={`${service.id}/subscriptions`}
        titleOf={(s) => s.properties.displayName ?? s.name}
        bulk={[
          { label: t('Approve'), takes: (s) => s.properties.state === 'submitted', run: (s) => call('PATCH', s.id, { properties: { state: 'active' } }, '*') },
          { label: t('Decline'), takes: (s) => s.properties.state === 'submitted', run: (s) => call('PATCH', s.id, { properties: { state: 'rejected' } }, '*') },
          { label: t('Suspend'), text: t('Calls with their keys are refused until they are active again.'), takes: (s) => s.properties.state === 'active', run: (s) => call('PATCH', s.id, { properties: { state: 'suspended' } }, '*') },
          { label: t('Resume'), takes: (s) => s.properties.state === 'suspended', run: (s) => call('PATCH', s.id, { properties: { state: 'active' } }, '*') },
          deletion(t('Delete'), t('Its keys stop working at once.')),
        ]}
        filter={search.state ? `state eq '${search.state}'` : undefined}
        columns={[
          { label: t('Name'), sort: 'displayName', cell: (s) => <Link to="/$service/subscriptions/$subscription" params={{ service: service.name, subscription: s.name }}>{s.properties.displayName ?? s.name}</Link> },
          { label: t('State'), sort: 'state', cell: (s) => <State value={s.properties.state ?? ''} /> },
          { label: t('Scope'), sort: 'scope', cell: (s) => <span className="mono">{tail(s.properties.scope)}</span> },
          { label: t('Owner'), cell: (s) => <span className="mono">{tail(s.properties.ownerId as string | null)}</span> },
          { label: t('Actions'), cell: (s) => (s.properties.state === 'submitted' ? <Decide subscription={s} /> : null) },
        ]}
      />
    </Page>
  );
}

function Decide({ subscription }: { subscription: Resource<Subscription> }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const set = (state: string) => call('PATCH', subscription.id, { properties: { state } }, '*').then(refresh, setError);
  return (
    <Stack gap={4}>
      <Group gap={4} wrap="nowrap">
        <Button size="compact-sm" onClick={() => void set('active')}>{t('Approve')}</Button>
        <Button size="compact-sm" variant="default" onClick={() => void set('rejected')}>{t('Decline')}</Button>
      </Group>
      {error !== undefined && <Problem error={error} />}
    </Stack>
  );
}

export function AddSubscription() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const products = useList<Schemas['ProductContract']>(`${service.id}/products?$top=200`);
  const users = useList<Schemas['UserContract']>(`${service.id}/users?$top=200`);
  return (
    <Page title={t('Add a subscription')}>
      <Loaded query={products}>
        {(all) => (
          <Form
            label={t('Create')}
            initial={{ scope: all.value[0] ? `/products/${all.value[0].name}` : '/apis', state: 'active', ownerId: '' }}
            fields={[
              { name: 'displayName', label: t('Display name'), required: true },
              { name: 'scope', label: t('Scope'), kind: 'select', options: [...all.value.map((p) => ({ value: `/products/${p.name}`, label: p.properties.displayName })), { value: '/apis', label: t('All APIs') }] },
              { name: 'ownerId', label: t('Owner'), kind: 'select', options: [{ value: '', label: t('Nobody') }, ...(users.data?.value ?? []).map((u) => ({ value: `/users/${u.name}`, label: `${u.properties.firstName} ${u.properties.lastName} (${u.properties.email})` }))] },
              { name: 'state', label: t('State'), kind: 'select', options: ['active', 'submitted', 'suspended'].map((v) => ({ value: v, label: t(v) })) },
            ]}
            submit={async ({ ownerId, ...values }) => {
              const name = crypto.randomUUID().replaceAll('-', '').slice(0, 24);
              await call('PUT', `${service.id}/subscriptions/${name}`, { properties: ownerId ? { ...values, ownerId } : values });
              await refresh();
              await navigate({ to: '/$service/subscriptions/$subscription', params: { service: service.name, subscription: name } });
            }}
          />
        )}
      </Loaded>
    </Page>
  );
}

export function SubscriptionPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { subscription = '' } = useParams({ strict: false });
  const path = `${service.id}/subscriptions/${subscription}`;
  const query = useGet<Resource<Subscription>>(path);
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName ?? data.name}>
          <Table variant="vertical" aria-label={t('Subscription')}>
            <Table.Tbody>
              <Table.Tr><Table.Th>{t('State')}</Table.Th><Table.Td><State value={data.properties.state ?? ''} /></Table.Td></Table.Tr>
              <Table.Tr><Table.Th>{t('Scope')}</Table.Th><Table.Td className="mono">{tail(data.properties.scope)}</Table.Td></Table.Tr>
              <Table.Tr><Table.Th>{t('Owner')}</Table.Th><Table.Td className="mono">{tail(data.properties.ownerId as string | null)}</Table.Td></Table.Tr>
            </Table.Tbody>
          </Table>
          {data.properties.state === 'submitted' && <Decide subscription={data} />}
          <Text component="h2" fw={600}>{t('Keys')}</Text>
          <Keys
            fetchKeys={async () => (await call<{ primaryKey: string; secondaryKey: string }>('POST', `${path}/listSecrets`)).data}
            regenerate={async (which) => { await call('POST', `${path}/${which === 'primary' ? 'regeneratePrimaryKey' : 'regenerateSecondaryKey'}`); await refresh(); }}
            breaks={<RecentCalls calls={{ report: 'bySubscription', field: 'subscriptionId', value: `/subscriptions/${data.name}` }} />}
          />
          <Editor
            path={path}
            fields={[
              { name: 'displayName', label: t('Display name') },
              { name: 'state', label: t('State'), kind: 'select', options: ['active', 'submitted', 'suspended', 'rejected', 'cancelled', 'expired'].map((v) => ({ value: v, label: t(v) })) },
              { name: 'stateComment', label: t('Comment') },
              { name: 'allowTracing', label: t('Calls may ask for a trace'), kind: 'switch' },
            ]}
            remove={{ text: t('Its keys stop working at once.'), calls: { report: 'bySubscription', field: 'subscriptionId', value: `/subscriptions/${data.name}` }, done: () => void navigate({ to: '/$service/subscriptions', params: { service: service.name } }) }}
          />
        </Page>
      )}
    </Loaded>
  );
}
