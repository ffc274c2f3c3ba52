import { Button, Group, Stack, Table, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, Problem, State } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Resource, type Schemas } from '../api';
import { Editor, Form } from '../form';
import { deletion, ResourceTable } from '../table';

type User = Schemas['UserContract'];
type GroupOf = Schemas['GroupContract'];

export function Users() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Users')} actions={<Button renderRoot={(p) => <Link to="/$service/users/new" params={{ service: service.name }} {...p} />}>{t('Add a user')}</Button>}>
      <ResourceTable<User>
        label={t('Users')}
        path={`${service.id}/users`}
        searched="email"
        titleOf={(u) => u.properties.email ?? u.name}
        bulk={[
          { label: t('Block'), text: t('They can no longer sign in, and their keys are refused.'), takes: (u) => u.properties.state === 'active', run: (u) => call('PATCH', u.id, { properties: { state: 'blocked' } }, '*') },
          { label: t('Let in again'), takes: (u) => u.properties.state === 'blocked', run: (u) => call('PATCH', u.id, { properties: { state: 'active' } }, '*') },
          deletion(t('Delete'), t('The account and its subscriptions go, and their keys stop working.'), '?deleteSubscriptions=true'),
        ]}
        columns={[
          { label: t('Name'), sort: 'lastName', cell: (u) => <Link to="/$service/users/$user" params={{ service: service.name, user: u.name }}>{u.properties.firstName} {u.properties.lastName}</Link> },
          { label: t('E-mail address'), sort: 'email', cell: (u) => u.properties.email },
          { label: t('State'), cell: (u) => <State value={u.properties.state ?? ''} /> },
        ]}
      />
    </Page>
  );
}

export function AddUser() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  return (
    <Page title={t('Add a user')}>
      <Form
        label={t('Create')}
        initial={{ confirmation: 'invite' }}
        fields={[
          { name: 'firstName', label: t('First name'), required: true },
          { name: 'lastName', label: t('Last name'), required: true },
          { name: 'email', label: t('E-mail address'), required: true },
          { name: 'confirmation', label: t('Mail'), kind: 'select', options: [{ value: 'invite', label: t('Invitation: the user chooses a password') }, { value: 'signup', label: t('Welcome, with the password below') }] },
          { name: 'password', label: t('Password'), kind: 'password', help: t('Without one, the user sets it through the mailed link.') },
        ]}
        submit={async (values) => {
          const name = crypto.randomUUID().replaceAll('-', '').slice(0, 24);
          const { password, ...rest } = values;
          await call('PUT', `${service.id}/users/${name}`, { properties: password ? values : rest });
          await refresh();
          await navigate({ to: '/$service/users/$user', params: { service: service.name, user: name } });
        }}
      />
    </Page>
  );
}

export function UserPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { user = '' } = useParams({ strict: false });
  const path = `${service.id}/users/${user}`;
  const query = useGet<Resource<User>>(path);
  const groups = useList<GroupOf>(`${path}/groups`);
  const subscriptions = useList<Schemas['SubscriptionContract']>(`${path}/subscriptions`);
  const [sent, setSent] = useState(false);
  const [error, setError] = useState<unknown>();
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={`${data.properties.firstName} ${data.properties.lastName}`}>
          <Editor
            path={path}
            fields={[
              { name: 'firstName', label: t('First name'), required: true },
              { name: 'lastName', label: t('Last name'), required: true },
              { name: 'email', label: t('E-mail address'), required: true },
              { name: 'state', label: t('State'), kind: 'select', options: ['active', 'blocked', 'pending'].map((v) => ({ value: v, label: t(v) })) },
              { name: 'note', label: t('Note'), kind: 'area' },
            ]}
            remove={{ text: t('The account and its subscriptions go, and their keys stop working.'), query: '?deleteSubscriptions=true', calls: { report: 'byUser', field: 'userId', value: `/users/${user}` }, done: () => void navigate({ to: '/$service/users', params: { service: service.name } }) }}
          />
          <Group>
            <Button variant="default" onClick={() => { setError(undefined); call('POST', `${path}/confirmations/password/send`).then(() => setSent(true), setError); }}>{t('Mail a link for a new password')}</Button>
            {sent && <Text role="status">{t('The mail is queued.')}</Text>}
          </Group>
          {error !== undefined && <Problem error={error} />}
          <h2>{t('Groups')}</h2>
          <Loaded query={groups}>{(g) => <Text>{g.value.map((x) => x.properties.displayName).join(', ')}</Text>}</Loaded>
          <h2>{t('Subscriptions')}</h2>
          <Loaded query={subscriptions}>
            {(s) => (
              <Stack gap={4}>
                {s.value.length === 0 && <Text>{t('There is nothing here yet.')}</Text>}
                {s.value.map((x) => <Group key={x.id}><Link to="/$service/subscriptions/$subscription" params={{ service: service.name, subscription: x.name }}>{x.properties.displayName ?? x.name}</Link><State value={x.properties.state ?? ''} /></Group>)}
              </Stack>
            )}
          </Loaded>
        </Page>
      )}
    </Loaded>
  );
}

export function Groups() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Groups')} actions={<Button renderRoot={(p) => <Link to="/$service/groups/new" params={{ service: service.name }} {...p} />}>{t('Add a group')}</Button>}>
      <ResourceTable<GroupOf>
        label={t('Groups')}
        path={`${service.id}/groups`}
        columns={[
          { label: t('Name'), cell: (g) => <Link to="/$service/groups/$group" params={{ service: service.name, group: g.name }}>{g.properties.displayName}</Link> },
          { label: t('Description'), cell: (g) => g.properties.description },
        ]}
      />
    </Page>
  );
}

export function AddGroup() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  return (
    <Page title={t('Add a group')}>
      <Form
        label={t('Create')}
        initial={{}}
        fields={[{ name: 'displayName', label: t('Display name'), required: true }, { name: 'description', label: t('Description'), kind: 'area' }]}
        submit={async (values) => {
          const name = nameOf(String(values.displayName ?? ''));
          const path = `${service.id}/groups/${name}`;
          if (await exists(path)) throw new Error(t('There is a group of that name.'));
          await call('PUT', path, { properties: values });
          await refresh();
          await navigate({ to: '/$service/groups/$group', params: { service: service.name, group: name } });
        }}
      />
    </Page>
  );
}

export function GroupPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { group = '' } = useParams({ strict: false });
  const path = `${service.id}/groups/${group}`;
  const query = useGet<Resource<GroupOf>>(path);
  const members = useList<User>(`${path}/users?$top=200`);
  const [email, setEmail] = useState('');
  const [error, setError] = useState<unknown>();
  const add = async () => {
    const found = (await call<{ value: Resource<User>[] }>('GET', `${service.id}/users?$filter=${encodeURIComponent(`email eq '${email.replaceAll("'", "''")}'`)}`)).data.value[0];
    if (!found) throw new Error(t('There is no user with that address.'));
    await call('PUT', `${path}/users/${found.name}`);
    setEmail('');
    await refresh();
  };
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName}>
          {data.properties.builtIn ? (
            <Text>{t('A built-in group; it cannot be changed.')}</Text>
          ) : (
            <Editor path={path} fields={[{ name: 'displayName', label: t('Display name'), required: true }, { name: 'description', label: t('Description'), kind: 'area' }]} remove={{ text: t('Its members no longer see what only this group sees.'), done: () => void navigate({ to: '/$service/groups', params: { service: service.name } }) }} />
          )}
          <h2>{t('Members')}</h2>
          {error !== undefined && <Problem error={error} />}
          {data.properties.type === 'custom' && (
            <form onSubmit={(e) => { e.preventDefault(); setError(undefined); add().catch(setError); }}>
              <Group align="flex-end"><TextInput label={t('E-mail address')} value={email} onChange={(e) => setEmail(e.currentTarget.value)} /><Button type="submit" variant="default">{t('Add')}</Button></Group>
            </form>
          )}
          <Loaded query={members}>
            {(list) => (
              <Table aria-label={t('Members')}>
                <Table.Tbody>
                  {list.value.map((u) => (
                    <Table.Tr key={u.id}>
                      <Table.Td>{u.properties.firstName} {u.properties.lastName}</Table.Td>
                      <Table.Td>{u.properties.email}</Table.Td>
                      <Table.Td>{data.properties.type === 'custom' && <Button size="compact-sm" variant="default" onClick={() => { setError(undefined); call('DELETE', `${path}/users/${u.name}`).then(refresh, setError); }}>{t('Remove')}</Button>}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            )}
          </Loaded>
        </Page>
      )}
    </Loaded>
  );
}
