import { Badge, Button, Card, Code, Group, Stack, Text, Textarea } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Problem } from '../shared/ui';
import type { ApiPage as Api } from './api';
import { CredentialFields, type Credential } from './credential';

interface Message {
  at: number;
  mine: boolean;
  text: string;
}

/** Talks over a WebSocket with the gateway itself: pages may set no headers there, so the key goes into the query. */
export function Socket({ api, credential, setCredential }: { api: Api; credential: Credential; setCredential: (credential: Credential) => void }) {
  const { t, i18n } = useTranslation();
  const [state, setState] = useState<'closed' | 'opening' | 'open'>('closed');
  const [ended, setEnded] = useState<string>();
  const [messages, setMessages] = useState<Message[]>([]);
  const [text, setText] = useState('');
  const [error, setError] = useState<unknown>();
  const socket = useRef<WebSocket>(null);
  useEffect(() => () => socket.current?.close(), []);
  const url = api.baseUrl.replace(/^http/, 'ws');
  const time = new Intl.DateTimeFormat(i18n.language, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
  const note = (mine: boolean, content: string) => setMessages((all) => [...all.slice(-199), { at: Date.now(), mine, text: content }]);
  const open = () => {
    setError(undefined);
    setEnded(undefined);
    setState('opening');
    const name = api.keyNames.query ?? 'subscription-key';
    const key = api.subscriptionRequired && credential.key ? `?${encodeURIComponent(name)}=${encodeURIComponent(credential.key)}` : '';
    const opened = new WebSocket(url + key);
    socket.current = opened;
    opened.onopen = () => setState('open');
    opened.onmessage = ({ data }: MessageEvent<unknown>) => note(false, typeof data === 'string' ? data : t('{{count, number}} bytes that are no text', { count: (data as Blob).size }));
    opened.onclose = ({ code, reason, wasClean }) => {
      setState('closed');
      setEnded(wasClean ? t('Closed: {{code}} {{reason}}', { code, reason }) : t('The connection was refused or broke ({{code}}).', { code }));
    };
  };
  const send = () => {
    try {
      socket.current?.send(text);
      note(true, text);
      setText('');
    } catch (e) {
      setError(e);
    }
  };
  return (
    <Card withBorder component="section" aria-label={t('Try it')}>
      <Stack>
        <Text component="h3" fw={600}>{t('Try it')}</Text>
        {error !== undefined && <Problem error={error} />}
        {api.subscriptionRequired && <CredentialFields api={api} credential={credential} change={setCredential} />}
        <div><Text size="sm" fw={600}>{t('Requested URL')}</Text><Code className="mono" data-testid="requested-url">{url}</Code></div>
        <Group>
          {state === 'closed' ? <Button onClick={open}>{t('Connect')}</Button> : <Button variant="default" onClick={() => socket.current?.close(1000)}>{t('Disconnect')}</Button>}
          <Badge variant="outline" color={state === 'open' ? 'green' : 'gray'} tt="none" role="status" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{state === 'open' ? t('connected') : state === 'opening' ? t('connecting') : t('not connected')}</Badge>
          {ended && <Text size="sm" role="alert">{ended}</Text>}
        </Group>
        <form onSubmit={(e) => { e.preventDefault(); send(); }}>
          <Stack gap="xs">
            <Textarea label={t('Message')} autosize minRows={2} maxRows={10} value={text} disabled={state !== 'open'} onChange={(e) => setText(e.currentTarget.value)} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />
            <Group><Button type="submit" disabled={state !== 'open'}>{t('Send')}</Button></Group>
          </Stack>
        </form>
        <Stack gap={4} role="log" aria-label={t('Messages')}>
          {messages.map((m, i) => <Text key={i} size="sm"><Code>{time.format(new Date(m.at))}</Code> {m.mine ? t('sent') : t('received')} <span className="mono">{m.text}</span></Text>)}
        </Stack>
      </Stack>
    </Card>
  );
}
