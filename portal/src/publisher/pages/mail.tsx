import { Button, Group, Modal, SegmentedControl, Stack, Table, Text, TextInput } from '@mantine/core';
import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, Problem, State } from '../../shared/ui';
import { call, useGet, useList, useRefresh, useService, type Resource, type Schemas } from '../api';
import { Editor } from '../form';
import { ResourceTable } from '../table';

type Notification = Schemas['NotificationContract'];
type Template = Schemas['EmailTemplateContract'];

export function Notifications() {
  const { t } = useTranslation();
  const service = useService();
  const list = useList<Notification>(`${service.id}/notifications`);
  return (
    <Page title={t('Notifications')}>
      <Text>{t('Who gets a mail when something happens.')}</Text>
      <Loaded query={list}>{(all) => <Stack gap="lg">{all.value.map((n) => <Recipients key={n.id} notification={n} />)}</Stack>}</Loaded>
    </Page>
  );
}

function Recipients({ notification }: { notification: Resource<Notification> }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [email, setEmail] = useState('');
  const [error, setError] = useState<unknown>();
  const service = useService();
  const path = `${service.id}/notifications/${notification.name}/recipientEmails`;
  const emails = (notification.properties.recipients as { emails?: string[] } | undefined)?.emails ?? [];
  return (
    <Stack gap={6} component="section" aria-label={notification.properties.title ?? notification.name}>
      <Text component="h2" size="md" fw={600}>{notification.properties.title}</Text>
      <Text size="sm">{notification.properties.description}</Text>
      {error !== undefined && <Problem error={error} />}
      {emails.map((address) => (
        <Group key={address}>
          <Text size="sm">{address}</Text>
          <Button size="compact-xs" variant="default" aria-label={t('Remove {{address}}', { address })} onClick={() => { setError(undefined); call('DELETE', `${path}/${encodeURIComponent(address)}`).then(refresh, setError); }}>{t('Remove')}</Button>
        </Group>
      ))}
      <form onSubmit={(e) => { e.preventDefault(); setError(undefined); call('PUT', `${path}/${encodeURIComponent(email)}`).then(() => { setEmail(''); return refresh(); }, setError); }}>
        <Group align="flex-end"><TextInput label={t('E-mail address')} type="email" required value={email} onChange={(e) => setEmail(e.currentTarget.value)} /><Button type="submit" variant="default">{t('Add')}</Button></Group>
      </form>
    </Stack>
  );
}

export function Templates() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('E-mail templates')}>
      <ResourceTable<Template>
        label={t('E-mail templates')}
        path={`${service.id}/templates`}
        searched={null}
        columns={[
          { label: t('Name'), cell: (x) => <Link to="/$service/templates/$template" params={{ service: service.name, template: x.name }}>{x.properties.title ?? x.name}</Link> },
          { label: t('Subject'), cell: (x) => x.properties.subject },
          { label: t('Text'), cell: (x) => (x.properties.isDefault ? t('default') : t('own')) },
        ]}
      />
    </Page>
  );
}

/** What is typed, as a mail would look: variables stand out, and nothing is fetched. */
function previewed(body: string): string {
  return body.replace(/\$[A-Za-z][\w.]*/g, '<mark>$&</mark>');
}

export function TemplatePage() {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const { template = '' } = useParams({ strict: false });
  const path = `${service.id}/templates/${template}`;
  const query = useGet<Resource<Template>>(path);
  const [error, setError] = useState<unknown>();
  return (
    <Loaded query={query}>
      {({ data, etag }) => (
        <Page title={data.properties.title ?? data.name}>
          <Text>{data.properties.description}</Text>
          <Editor path={path} fields={[{ name: 'subject', label: t('Subject'), required: true }, { name: 'body', label: t('Text (HTML)'), kind: 'area', required: true }]}
            extra={(values) => (
              <Stack gap={4}>
                <Text fw={600}>{t('Preview')}</Text>
                <iframe title={t('Preview')} sandbox="" srcDoc={previewed(String(values.body ?? ''))} width="100%" height="320" style={{ border: '1px solid var(--mantine-color-default-border)', background: '#fff' }} />
              </Stack>
            )}
          />
          {error !== undefined && <Problem error={error} />}
          {!data.properties.isDefault && <Group><Button variant="default" onClick={() => { setError(undefined); call('DELETE', path, undefined, etag ?? '*').then(refresh, setError); }}>{t('Back to the default text')}</Button></Group>}
          <h2>{t('Variables')}</h2>
          <Table aria-label={t('Variables')}>
            <Table.Tbody>
              {(data.properties.parameters as { name: string; title?: string; description?: string }[] | undefined)?.map((p) => (
                <Table.Tr key={p.name}><Table.Td className="mono">${p.name}</Table.Td><Table.Td>{p.title}</Table.Td><Table.Td>{p.description}</Table.Td></Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Page>
      )}
    </Loaded>
  );
}

interface Mail {
  template: string;
  recipient: string;
  subject: string;
  text: string;
  status: string;
  attempts: number;
  lastError: string | null;
  createdAt: string;
}

export function Mails() {
  const { t, i18n } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [status, setStatus] = useState('');
  const [open, setOpen] = useState<Resource<Mail>>();
  const [error, setError] = useState<unknown>();
  const list = useList<Mail>(`${service.id}/mails${status ? `?status=${status}` : ''}`);
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'medium' });
  return (
    <Page title={t('Outbox')}>
      <SegmentedControl aria-label={t('State')} value={status} onChange={setStatus} data={[{ value: '', label: t('All') }, ...['queued', 'held', 'sent', 'failed'].map((v) => ({ value: v, label: t(v) }))]} />
      {error !== undefined && <Problem error={error} />}
      <Loaded query={list}>
        {(all) => all.value.length === 0 ? <Text>{t('There is nothing here yet.')}</Text> : (
          <Table aria-label={t('Outbox')}>
            <Table.Thead><Table.Tr>{[t('Time'), t('To'), t('Subject'), t('State'), t('Actions')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
            <Table.Tbody>
              {all.value.map((m) => (
                <Table.Tr key={m.id}>
                  <Table.Td>{date.format(new Date(m.properties.createdAt))}</Table.Td>
                  <Table.Td>{m.properties.recipient}</Table.Td>
                  <Table.Td>{m.properties.subject}</Table.Td>
                  <Table.Td><State value={m.properties.status} />{m.properties.lastError && <Text size="xs">{m.properties.lastError}</Text>}</Table.Td>
                  <Table.Td>
                    <Group gap={4}>
                      <Button size="compact-sm" variant="default" onClick={() => setOpen(m)}>{t('Read')}</Button>
                      {m.properties.status !== 'queued' && <Button size="compact-sm" variant="default" onClick={() => { setError(undefined); call('POST', `${m.id}/resend`).then(refresh, setError); }}>{t('Send again')}</Button>}
                    </Group>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
      <Modal opened={open !== undefined} onClose={() => setOpen(undefined)} title={open?.properties.subject} size="lg" closeButtonProps={{ 'aria-label': t('Close') }}>
        <pre className="reply" tabIndex={0}>{open?.properties.text}</pre>
      </Modal>
    </Page>
  );
}
