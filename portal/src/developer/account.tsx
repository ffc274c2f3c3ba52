import { Button, Group, Paper, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../shared/failure';
import { Loading, Page, Problem } from '../shared/ui';
import { ask, useMe, useRefresh } from './api';

function Ask({ children, submit, label }: { children: (failure: Failure | undefined) => ReactNode; submit: () => Promise<unknown>; label: string }) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  return (
    <Paper withBorder p="lg" maw={480}>
      <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); submit().catch(setError).finally(() => setBusy(false)); }}>
        <Stack>
          {error !== undefined && <Problem error={error} />}
          {children(error instanceof Failure ? error : undefined)}
          <Group><Button type="submit" loading={busy}>{label}</Button></Group>
        </Stack>
      </form>
    </Paper>
  );
}

function Password({ label, value, change, isNew, failure }: { label: string; value: string; change: (value: string) => void; isNew: boolean; failure?: Failure }) {
  const { t } = useTranslation();
  return <PasswordInput label={label} required value={value} error={failure?.of('password')} onChange={(e) => change(e.currentTarget.value)} autoComplete={isNew ? 'new-password' : 'current-password'} visibilityToggleButtonProps={{ 'aria-label': t('Show the password') }} />;
}

export function SignIn() {
  const { t } = useTranslation();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const refresh = useRefresh();
  const navigate = useNavigate();
  return (
    <Page title={t('Sign in')}>
      <Ask label={t('Sign in')} submit={async () => { await ask('POST', '/session', { email, password }); await refresh(); await navigate({ to: '/' }); }}>
        {() => (
          <>
            <TextInput label={t('E-mail address')} type="email" required value={email} onChange={(e) => setEmail(e.currentTarget.value)} autoComplete="username" />
            <Password label={t('Password')} value={password} change={setPassword} isNew={false} />
          </>
        )}
      </Ask>
      <Group><Link to="/reset">{t('I forgot the password')}</Link><Link to="/signup">{t('Sign up')}</Link></Group>
    </Page>
  );
}

export function SignUp() {
  const { t } = useTranslation();
  const [values, setValues] = useState({ firstName: '', lastName: '', email: '', password: '' });
  const [done, setDone] = useState(false);
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  return (
    <Page title={t('Sign up')}>
      {done ? (
        <Text role="status">{t('Open the link in the mail that was sent to {{email}}.', { email: values.email })}</Text>
      ) : (
        <Ask label={t('Sign up')} submit={async () => { await ask('POST', '/sign-up', values); setDone(true); }}>
          {(failure) => (
            <>
              <TextInput label={t('First name')} required value={values.firstName} error={failure?.of('firstName')} onChange={(e) => set({ firstName: e.currentTarget.value })} autoComplete="given-name" />
              <TextInput label={t('Last name')} required value={values.lastName} error={failure?.of('lastName')} onChange={(e) => set({ lastName: e.currentTarget.value })} autoComplete="family-name" />
              <TextInput label={t('E-mail address')} type="email" required value={values.email} error={failure?.of('email')} onChange={(e) => set({ email: e.currentTarget.value })} autoComplete="username" />
              <Password label={t('Password')} value={values.password} change={(password) => set({ password })} isNew failure={failure} />
            </>
          )}
        </Ask>
      )}
    </Page>
  );
}

export function Reset() {
  const { t } = useTranslation();
  const [email, setEmail] = useState('');
  const [done, setDone] = useState(false);
  return (
    <Page title={t('New password')}>
      {done ? (
        <Text role="status">{t('If that address has an account, a mail with a link is on its way.')}</Text>
      ) : (
        <Ask label={t('Mail me a link')} submit={async () => { await ask('POST', '/reset', { email }); setDone(true); }}>
          {() => <TextInput label={t('E-mail address')} type="email" required value={email} onChange={(e) => setEmail(e.currentTarget.value)} autoComplete="username" />}
        </Ask>
      )}
    </Page>
  );
}

/** Where mailed links lead: nothing happens until the reader says so, because mail scanners open links too. */
export function Confirm() {
  const { t } = useTranslation();
  const { ticket = '' } = useSearch({ strict: false }) as { ticket?: string };
  const [found, setFound] = useState<{ email: string; needsPassword: boolean }>();
  const [error, setError] = useState<unknown>();
  const [password, setPassword] = useState('');
  const refresh = useRefresh();
  const navigate = useNavigate();
  useEffect(() => {
    ask<{ email: string; needsPassword: boolean }>('POST', '/ticket', { ticket }).then(setFound, setError);
  }, [ticket]);
  return (
    <Page title={t('Confirm')}>
      {error !== undefined ? <Problem error={error} /> : !found ? <Loading /> : (
        <Ask
          label={found.needsPassword ? t('Set the password') : t('Confirm the address')}
          submit={async () => { await ask('POST', '/confirm', found.needsPassword ? { ticket, password } : { ticket }); await refresh(); await navigate({ to: '/' }); }}
        >
          {(failure) => (
            <>
              <Text>{found.email}</Text>
              {found.needsPassword && <Password label={t('New password')} value={password} change={setPassword} isNew failure={failure} />}
            </>
          )}
        </Ask>
      )}
    </Page>
  );
}

export function Profile() {
  const { t } = useTranslation();
  const me = useMe();
  if (!me?.email) return <Text>{t('Sign in first.')}</Text>;
  return <Page title={t('Profile')}><ProfileForm key={me.email} firstName={me.firstName ?? ''} lastName={me.lastName ?? ''} email={me.email} /></Page>;
}

function ProfileForm(initial: { firstName: string; lastName: string; email: string }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [firstName, setFirstName] = useState(initial.firstName);
  const [lastName, setLastName] = useState(initial.lastName);
  return (
    <Ask label={t('Save')} submit={async () => { await ask('PATCH', '/profile', { firstName, lastName }); await refresh(); }}>
      {(failure) => (
        <>
          <Text>{initial.email}</Text>
          <TextInput label={t('First name')} required value={firstName} error={failure?.of('firstName')} onChange={(e) => setFirstName(e.currentTarget.value)} />
          <TextInput label={t('Last name')} required value={lastName} error={failure?.of('lastName')} onChange={(e) => setLastName(e.currentTarget.value)} />
        </>
      )}
    </Ask>
  );
}
