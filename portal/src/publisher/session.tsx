import { Button, Container, Paper, PasswordInput, Stack, TextInput, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure, send } from '../shared/failure';
import { Loading, Preferences, Problem } from '../shared/ui';

interface Session {
  name: string;
  expiresAt: string;
}

const Current = createContext<{ session: Session; signOut: () => Promise<void> } | undefined>(undefined);

export function useSession() {
  const current = useContext(Current);
  if (!current) throw new Error('Nobody is signed in.');
  return current;
}

/** Shows its children to who is signed in, and the sign-in to everybody else. */
export function SignedIn({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const query = useQuery({
    queryKey: ['session'],
    queryFn: async () => {
      try {
        return (await send<Session>('GET', '/publisher/session')).data;
      } catch (error) {
        if (error instanceof Failure && error.status === 401) return null;
        throw error;
      }
    },
    // Each answer prolongs the session while the portal is open.
    refetchInterval: 10 * 60_000,
  });
  if (query.error) return <Container size="xs" py="xl"><Problem error={query.error} retry={() => void query.refetch()} /></Container>;
  if (query.data === undefined) return <Loading />;
  if (query.data === null) return <SignIn done={() => void client.invalidateQueries()} />;
  const signOut = async () => {
    await send('DELETE', '/publisher/session');
    client.clear();
    await client.invalidateQueries();
    window.location.assign('/publisher/');
  };
  return <Current value={{ session: query.data, signOut }}>{children}</Current>;
}

function SignIn({ done }: { done: () => void }) {
  const { t } = useTranslation();
  const [email, setEmail] = useState('');
  const [secret, setSecret] = useState('');
  const [password, setPassword] = useState('');
  const [first, setFirst] = useState(false);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  return (
    <Container component="main" size="xs" py="xl">
      <title>{t('Sign in')}</title>
      <Paper withBorder p="lg">
        <form
          onSubmit={(e) => {
            e.preventDefault();
            setBusy(true);
            setError(undefined);
            send('POST', '/publisher/session', first ? { secret, password } : { email, password }).then(done, setError).finally(() => setBusy(false));
          }}
        >
          <Stack>
            <Title order={1} size="h2">{t('Sign in to Portico')}</Title>
            {error !== undefined && <Problem error={error} />}
            {first ? (
              <TextInput label={t('Bootstrap secret')} required value={secret} onChange={(e) => setSecret(e.currentTarget.value)} autoComplete="off" />
            ) : (
              <TextInput label={t('E-mail address')} type="email" required value={email} onChange={(e) => setEmail(e.currentTarget.value)} autoComplete="username" />
            )}
            <PasswordInput label={first ? t('New password') : t('Password')} required value={password} onChange={(e) => setPassword(e.currentTarget.value)} autoComplete={first ? 'new-password' : 'current-password'} visibilityToggleButtonProps={{ 'aria-label': t('Show the password') }} />
            <Button type="submit" loading={busy}>{first ? t('Set the password and sign in') : t('Sign in')}</Button>
            <Button variant="subtle" onClick={() => setFirst(!first)}>{first ? t('I have a password') : t('First start: I have a bootstrap secret')}</Button>
            <Preferences />
          </Stack>
        </form>
      </Paper>
    </Container>
  );
}
