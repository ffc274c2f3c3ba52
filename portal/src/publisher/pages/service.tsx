import { Button, Code, Group, Loader, Stack, Stepper, Text } from '@mantine/core';
import { Link, useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { Failure, send } from '../../shared/failure';
import { Ask, Loaded, Page, Problem } from '../../shared/ui';
import { call, PROVIDER, useGet, useRefresh, useService, type Resource } from '../api';
import { Consequences, Form, useConflict } from '../form';

/** The service's creation goes on after the reply; its operation is asked until it ends. */
function Progress({ path, operation, name }: { path: string; operation: string; name: string }) {
  const { t } = useTranslation();
  const status = useQuery({
    queryKey: ['operation', operation],
    queryFn: async () => (await send<{ status: string; error?: { message: string } }>('GET', operation)).data,
    refetchInterval: (q) => (q.state.data && q.state.data.status !== 'InProgress' ? false : 1000),
  });
  const service = useGet<Resource<{ provisioningState: string; gatewayUrl?: string }>>(path);
  const done = status.data?.status === 'Succeeded';
  const client = useQueryClient();
  useEffect(() => {
    // The list of services and this one's addresses are known now.
    if (done) void client.invalidateQueries({ predicate: (q) => q.queryKey[0] !== 'operation' });
  }, [done, client]);
  return (
    <Stack role="status">
      <Stepper active={done ? 3 : 1} size="sm">
        <Stepper.Step label={t('Accepted')} />
        <Stepper.Step label={t('Activating')} description={!done && <Loader size="xs" aria-label={t('Running')} />} />
        <Stepper.Step label={t('Ready')} />
      </Stepper>
      {status.error && <Problem error={status.error} retry={() => void status.refetch()} />}
      {status.data?.error && <Problem error={new Error(status.data.error.message)} />}
      <Text>{done ? t('The service is ready.') : t('The service is being activated. You can leave this page.')}</Text>
      {done && (
        <>
          <Text>{t('Gateway URL')}: <Code>{service.data?.data.properties.gatewayUrl}</Code></Text>
          <Group><Button renderRoot={(p) => <Link to="/$service" params={{ service: name }} {...p} />}>{t('Open the service')}</Button></Group>
        </>
      )}
    </Stack>
  );
}

export function NewService() {
  const { t } = useTranslation();
  const [running, setRunning] = useState<{ path: string; operation: string; name: string }>();
  return (
    <Page title={t('Create a service')}>
      {running ? (
        <Progress {...running} />
      ) : (
        <Form
          label={t('Create')}
          initial={{ subscription: '00000000-0000-0000-0000-000000000001', group: 'default', location: 'local', sku: 'Developer' }}
          fields={[
            { name: 'name', label: t('Name'), required: true, help: t('Letters, digits and hyphens; part of the addresses.') },
            { name: 'publisherName', label: t('Organization'), required: true },
            { name: 'publisherEmail', label: t('Administrator e-mail'), required: true },
            { name: 'sku', label: t('Tier'), kind: 'select', options: ['Developer', 'Basic', 'Standard', 'Premium'].map((v) => ({ value: v, label: v })) },
            { name: 'location', label: t('Location'), required: true },
            { name: 'subscription', label: t('Subscription'), required: true },
            { name: 'group', label: t('Resource group'), required: true },
          ]}
          submit={async (v) => {
            const name = String(v.name ?? '');
            const path = `/subscriptions/${String(v.subscription)}/resourceGroups/${String(v.group)}/${PROVIDER}/service/${encodeURIComponent(name)}`;
            // If-None-Match is no part of the contract: asking first keeps a form from changing another's service.
            const taken = await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; });
            if (taken) throw new Error(t('There is a service of that name.'));
            const reply = await call('PUT', path, {
              location: v.location,
              sku: { name: v.sku, capacity: 1 },
              properties: { publisherEmail: v.publisherEmail, publisherName: v.publisherName },
            });
            const operation = reply.headers.get('azure-asyncoperation') ?? '';
            setRunning({ path, name, operation: new URL(operation, window.location.href).pathname + new URL(operation, window.location.href).search });
          }}
        />
      )}
    </Page>
  );
}

export function Settings() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const query = useGet<Resource>(service.id);
  const { dialog, guard } = useConflict();
  const [asked, setAsked] = useState(false);
  return (
    <Page title={t('Settings')}>
      <Loaded query={query}>
        {({ data, etag }) => (
          <Form
            key={etag}
            label={t('Save')}
            initial={data.properties}
            fields={[
              { name: 'publisherName', label: t('Organization'), required: true },
              { name: 'publisherEmail', label: t('Administrator e-mail'), required: true },
              { name: 'notificationSenderEmail', label: t('Sender of mails') },
            ]}
            submit={async (v) => {
              const mine = { publisherName: v.publisherName, publisherEmail: v.publisherEmail, notificationSenderEmail: v.notificationSenderEmail };
              await guard(service.id, mine, async (tag) => {
                await call('PATCH', service.id, { properties: mine }, tag);
                await refresh();
              }, etag, () => void refresh());
            }}
          />
        )}
      </Loaded>
      {dialog}
      <Group><Button color="red" variant="outline" onClick={() => setAsked(true)}>{t('Delete the service')}</Button></Group>
      <Ask
        opened={asked}
        title={t('Delete {{name}}?', { name: service.name })}
        name={service.name}
        text={t('Its APIs stop at once. It can be restored for 48 hours.')}
        action={t('Delete')}
        onClose={() => setAsked(false)}
        onYes={async () => {
          await call('DELETE', service.id);
          await navigate({ to: '/' });
          await refresh();
        }}
      >
        {asked && <Consequences items={[{ label: t('APIs'), path: `${service.id}/apis` }, { label: t('Products'), path: `${service.id}/products` }, { label: t('Subscriptions'), path: `${service.id}/subscriptions` }, { label: t('Users'), path: `${service.id}/users` }]} />}
      </Ask>
    </Page>
  );
}
