import { Button, Card, Group, Stack, Text, Textarea, TextInput, Title } from '@mantine/core';
import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../shared/failure';
import { Loaded, Page, Problem, State } from '../shared/ui';
import { ask, useAsk, useMe, useRefresh, type Issue } from './api';

const failureOf = (error: unknown) => (error instanceof Failure ? error : undefined);

export function Issues() {
  const { t } = useTranslation();
  const { api = '' } = useParams({ strict: false });
  const me = useMe();
  const shown = useAsk('/apis/{api}', { path: { api } });
  const query = useAsk('/apis/{api}/issues', { path: { api } }, Boolean(me?.email));
  if (me && !me.email) return <Text>{t('Sign in first.')}</Text>;
  return (
    <Page title={t('Issues of {{api}}', { api: shown.data?.displayName ?? api })}>
      <Text><Link to="/apis/$api" params={{ api }}>{t('Back to the API')}</Link></Text>
      <Loaded query={query}>
        {({ value }) => (value.length === 0 ? <Text>{t('Nobody has reported anything.')}</Text> : <Stack>{value.map((issue) => <One key={issue.name} api={api} issue={issue} />)}</Stack>)}
      </Loaded>
      <Report api={api} />
    </Page>
  );
}

function One({ api, issue }: { api: string; issue: Issue }) {
  const { t, i18n } = useTranslation();
  const [open, setOpen] = useState(false);
  return (
    <Card withBorder component="article">
      <Stack gap="xs">
        <Group><Text component="h2" fw={600}>{issue.title}</Text><State value={issue.state} /></Group>
        <Text size="sm">{issue.author} · {new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium' }).format(new Date(issue.createdDate))}</Text>
        <Text style={{ whiteSpace: 'pre-wrap' }}>{issue.description}</Text>
        <Group><Button size="compact-sm" variant="default" aria-expanded={open} onClick={() => setOpen(!open)}>{t('{{count, number}} comments', { count: issue.comments })}</Button></Group>
        {open && <Comments api={api} issue={issue.name} />}
      </Stack>
    </Card>
  );
}

function Comments({ api, issue }: { api: string; issue: string }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const path = { api, issue };
  const query = useAsk('/apis/{api}/issues/{issue}/comments', { path });
  const [text, setText] = useState('');
  const [error, setError] = useState<unknown>();
  return (
    <Stack gap="xs" pl="md">
      <Loaded query={query}>{({ value }) => <>{value.map((c) => <Text key={c.name} style={{ whiteSpace: 'pre-wrap' }}><strong>{c.author}</strong>: {c.text}</Text>)}</>}</Loaded>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          setError(undefined);
          ask('post', '/apis/{api}/issues/{issue}/comments', { path, body: { text } }).then(async () => { setText(''); await refresh(); }, setError);
        }}
      >
        <Stack gap="xs">
          {error !== undefined && <Problem error={error} />}
          <Textarea label={t('Comment')} required autosize minRows={2} value={text} error={failureOf(error)?.of('text')} onChange={(e) => setText(e.currentTarget.value)} />
          <Group><Button type="submit" variant="default">{t('Add the comment')}</Button></Group>
        </Stack>
      </form>
    </Stack>
  );
}

function Report({ api }: { api: string }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [title, setTitle] = useState('');
  const [description, setDescription] = useState('');
  const [error, setError] = useState<unknown>();
  return (
    <Card withBorder component="section" aria-label={t('Report an issue')} maw={640}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          setError(undefined);
          ask('post', '/apis/{api}/issues', { path: { api }, body: { title, description } }).then(async () => { setTitle(''); setDescription(''); await refresh(); }, setError);
        }}
      >
        <Stack gap="xs">
          <Title order={2} size="h4">{t('Report an issue')}</Title>
          {error !== undefined && <Problem error={error} />}
          <TextInput label={t('Title')} required value={title} error={failureOf(error)?.of('title')} onChange={(e) => setTitle(e.currentTarget.value)} />
          <Textarea label={t('Description')} required autosize minRows={3} value={description} error={failureOf(error)?.of('description')} onChange={(e) => setDescription(e.currentTarget.value)} />
          <Group><Button type="submit">{t('Report')}</Button></Group>
        </Stack>
      </form>
    </Card>
  );
}
