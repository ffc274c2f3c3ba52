import { Button, Group, Modal, SegmentedControl, Stack, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { nonce } from '../../shared/mount';
import { Loaded, Page, Problem, State } from '../../shared/ui';
import { call, useGet, useList, useRefresh, useService, type Resource, type Schemas } from '../api';
import { Editor, type Values } from '../form';
import { useSession } from '../session';
import { ResourceTable, type Search } from '../table';

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

/** How long nothing must have been typed before the server is asked for the mail. */
const PAUSE_MS = 500;

interface Rendered {
  subject: string;
  html: string;
}

/** A mail as the page's policy lets it be shown: its style sheets count as the page's own, styles of single elements are left out. */
function shown(html: string): string {
  return html.replace(/<style\b/gi, `<style nonce="${nonce}"`).replace(/\sstyle\s*=\s*("[^"]*"|'[^']*')/gi, '');
}

/** What is typed, as the server makes a mail of it with sample data; and such a mail to an address of one's own. */
function Rehearsal({ path, values }: { path: string; values: Values }) {
  const { t } = useTranslation();
  const { session } = useSession();
  const [to, setTo] = useState(session.name.includes('@') ? session.name : '');
  const [sent, setSent] = useState(false);
  const [error, setError] = useState<unknown>();
  const [draft] = useDebouncedValue(JSON.stringify({ subject: values.subject ?? '', body: values.body ?? '' }), PAUSE_MS);
  const preview = useQuery({
    queryKey: ['preview', path, draft],
    queryFn: async () => (await call<Rendered>('POST', `${path}/preview`, JSON.parse(draft))).data,
    placeholderData: keepPreviousData,
  });
  const send = () => {
    setError(undefined);
    setSent(false);
    call('POST', `${path}/send`, { ...(JSON.parse(draft) as object), to }).then(() => setSent(true), setError);
  };
  return (
    <Stack gap="xs">
      <Text fw={600}>{t('Preview')}</Text>
      {preview.error && <Problem error={preview.error} />}
      {preview.data && <Text size="sm">{t('Subject')}: {preview.data.subject}</Text>}
      <iframe title={t('Preview')} sandbox="" srcDoc={shown(preview.data?.html ?? '')} width="100%" height="320" style={{ border: '1px solid var(--mantine-color-default-border)', background: '#fff' }} />
      {error !== undefined && <Problem error={error} />}
      <Group align="flex-end">
        <TextInput label={t('Send it to')} type="email" value={to} onChange={(e) => setTo(e.currentTarget.value)} w={280} />
        <Button variant="default" disabled={!to} onClick={send}>{t('Send a test')}</Button>
        {sent && <Text role="status">{t('The mail is queued.')}</Text>}
      </Group>
    </Stack>
  );
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
            extra={(values) => <Rehearsal path={path} values={values} />}
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

/** Every mail with what became of it; the newest first. */
export function Mails() {
  const { t, i18n } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const search = useSearch({ strict: false }) as Search;
  const refresh = useRefresh();
  const [open, setOpen] = useState<Resource<Mail>>();
  const [error, setError] = useState<unknown>();
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'short', timeStyle: 'medium' });
  const resend = (mail: Resource<Mail>) => call('POST', `${mail.id}/resend`);
  return (
    <Page title={t('Outbox')}>
      <SegmentedControl aria-label={t('State')} value={search.state ?? ''} onChange={(state) => void navigate({ to: '.', search: { ...search, state: state || undefined, page: undefined } as never })} data={[{ value: '', label: t('All') }, ...['queued', 'held', 'sent', 'failed'].map((v) => ({ value: v, label: t(v) }))]} />
      {error !== undefined && <Problem error={error} />}
      <ResourceTable<Mail>
        key={search.state}
        label={t('Outbox')}
        path={`${service.id}/mails${search.state ? `?status=${search.state}` : ''}`}
        searched={null}
        parameter="recipient"
        titleOf={(m) => `${m.properties.recipient}: ${m.properties.subject}`}
        bulk={[{ label: t('Send again'), takes: (m) => m.properties.status !== 'queued', run: resend }]}
        columns={[
          { label: t('Time'), cell: (m) => date.format(new Date(m.properties.createdAt)) },
          { label: t('To'), cell: (m) => m.properties.recipient },
          { label: t('Subject'), cell: (m) => m.properties.subject },
          { label: t('State'), cell: (m) => <><State value={m.properties.status} />{m.properties.attempts > 1 && <Text size="xs">{t('Attempts: {{number}}', { number: m.properties.attempts })}</Text>}{m.properties.lastError && <Text size="xs">{m.properties.lastError}</Text>}</> },
          {
            label: t('Actions'),
            cell: (m) => (
              <Group gap={4} wrap="nowrap">
                <Button size="compact-sm" variant="default" onClick={() => setOpen(m)}>{t('Read')}</Button>
                {m.properties.status !== 'queued' && <Button size="compact-sm" variant="default" onClick={() => { setError(undefined); resend(m).then(refresh, setError); }}>{t('Send again')}</Button>}
              </Group>
            ),
          },
        ]}
      />
      <Modal opened={open !== undefined} onClose={() => setOpen(undefined)} title={open?.properties.subject} size="lg" closeButtonProps={{ 'aria-label': t('Close') }}>
        <pre className="reply" tabIndex={0}>{open?.properties.text}</pre>
      </Modal>
    </Page>
  );
}
