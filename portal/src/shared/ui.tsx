import { ActionIcon, Alert, Badge, Button, Code, CopyButton, Group, Modal, Skeleton, Stack, Text, TextInput, Title, useMantineColorScheme, useComputedColorScheme } from '@mantine/core';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from './failure';
import { setLanguage } from './language';

export function Page({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <Stack gap="md">
      <title>{title}</title>
      <Group justify="space-between" align="center">
        <Title order={1} size="h2">{title}</Title>
        <Group gap="xs">{actions}</Group>
      </Group>
      {children}
    </Stack>
  );
}

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation();
  const failure = error instanceof Failure ? error : undefined;
  return (
    <Alert color="red" variant="outline" role="alert" title={t('That did not work')}>
      <Stack gap={4}>
        <Text size="sm">{error instanceof Error ? error.message : String(error)}</Text>
        {failure?.details.map((d, i) => (
          <Text size="sm" key={i}>{d.target && !d.message.startsWith(d.target.replace(/^properties\./, '')) ? <><Code>{d.target}</Code>{' '}</> : null}{d.message}</Text>
        ))}
        {failure?.requestId && <Text size="xs">{t('Request id')}: <span className="mono">{failure.requestId}</span></Text>}
        {retry && <Group><Button size="xs" variant="default" onClick={retry}>{t('Try again')}</Button></Group>}
      </Stack>
    </Alert>
  );
}

export function Loading() {
  const { t } = useTranslation();
  return (
    <Stack gap="xs" aria-busy="true" role="status" aria-label={t('Loading')}>
      {[0, 1, 2].map((i) => <Skeleton key={i} height={28} />)}
    </Stack>
  );
}

/** Shows what a query gives, and what it does not. */
export function Loaded<T>({ query, children }: { query: { data: T | undefined; error: unknown; refetch: () => unknown }; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  return <Loading />;
}

const COLORS: Record<string, string> = { active: 'green', published: 'green', Succeeded: 'green', sent: 'green', submitted: 'yellow', queued: 'yellow', held: 'yellow', failed: 'red', rejected: 'red', blocked: 'red', Failed: 'red' };

export function State({ value }: { value: string }) {
  const { t } = useTranslation();
  return <Badge variant="outline" miw="max-content" color={COLORS[value] ?? 'gray'} styles={{ label: { color: 'var(--mantine-color-text)' } }} tt="none">{t(value)}</Badge>;
}

export function Copy({ value }: { value: string }) {
  const { t } = useTranslation();
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => <Button size="compact-xs" variant="default" onClick={copy}>{copied ? t('Copied') : t('Copy')}</Button>}
    </CopyButton>
  );
}

/** A key: hidden until asked for, fetched only then, kept in no storage. */
export function Keys({ fetchKeys, regenerate, breaks }: { fetchKeys: () => Promise<{ primaryKey: string; secondaryKey: string }>; regenerate: (which: 'primary' | 'secondary') => Promise<unknown>; breaks?: ReactNode }) {
  const { t } = useTranslation();
  const [keys, setKeys] = useState<{ primaryKey: string; secondaryKey: string }>();
  const [error, setError] = useState<unknown>();
  const [asked, setAsked] = useState<'primary' | 'secondary'>();
  const reveal = () => fetchKeys().then(setKeys, setError);
  return (
    <Stack gap={4}>
      {error !== undefined && <Problem error={error} />}
      {(['primary', 'secondary'] as const).map((which) => (
        <Group key={which} gap="xs">
          <Text size="sm" w={110}>{which === 'primary' ? t('Primary key') : t('Secondary key')}</Text>
          <span className="mono" data-testid={`${which}-key`}>{keys ? keys[`${which}Key`] : '••••••••••••••••'}</span>
          {keys && <Copy value={keys[`${which}Key`]} />}
          <Button size="compact-xs" variant="default" onClick={() => setAsked(which)}>{which === 'primary' ? t('Regenerate primary key') : t('Regenerate secondary key')}</Button>
        </Group>
      ))}
      <Group>
        <Button size="compact-sm" variant="default" onClick={() => (keys ? setKeys(undefined) : void reveal())}>{keys ? t('Hide keys') : t('Show keys')}</Button>
      </Group>
      <Ask
        opened={asked !== undefined}
        title={t('Regenerate the key?')}
        text={t('Every client that still uses the present key is refused from the next call on. The other key keeps working.')}
        action={t('Regenerate')}
        onClose={() => setAsked(undefined)}
        onYes={async () => {
          if (asked) await regenerate(asked);
          if (keys) await reveal();
        }}
      >
        {breaks}
      </Ask>
    </Stack>
  );
}

/** Asks before something that cannot be undone; where much is lost, the name must be typed. */
export function Ask({ opened, title, text, action, onClose, onYes, children, name }: { opened: boolean; title: string; text: string; action: string; onClose: () => void; onYes: () => Promise<unknown>; children?: ReactNode; name?: string }) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState('');
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  return (
    <Modal opened={opened} onClose={onClose} title={title} closeButtonProps={{ 'aria-label': t('Close') }}>
      <Stack>
        <Text size="sm">{text}</Text>
        {children}
        {name !== undefined && <TextInput label={t('Type {{name}} to confirm', { name })} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} autoComplete="off" data-autofocus />}
        {error !== undefined && <Problem error={error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>{t('Cancel')}</Button>
          <Button
            color="red"
            disabled={name !== undefined && typed !== name}
            loading={busy}
            onClick={() => {
              setBusy(true);
              setError(undefined);
              onYes().then(onClose, setError).finally(() => setBusy(false));
            }}
          >
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

export function Preferences() {
  const { t, i18n } = useTranslation();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const other = i18n.language === 'cs' ? 'en' : 'cs';
  return (
    <Group gap={4}>
      <Button size="compact-sm" variant="default" lang={other} onClick={() => void setLanguage(other)}>{other === 'cs' ? 'Česky' : 'English'}</Button>
      <ActionIcon variant="default" aria-label={scheme === 'dark' ? t('Light colours') : t('Dark colours')} onClick={() => setColorScheme(scheme === 'dark' ? 'light' : 'dark')}>
        {scheme === 'dark' ? '☀' : '☾'}
      </ActionIcon>
    </Group>
  );
}
