import { Alert, Button, Checkbox, Group, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../shared/failure';
import { Loading, Page, Problem } from '../shared/ui';
import { ask, BASE, useMe, useRefresh, useService } from './api';
import { Html } from './content';

function Ask({ children, submit, label, done, color }: { children: (failure: Failure | undefined) => ReactNode; submit: () => Promise<unknown>; label: string; done?: string; color?: string }) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [ready, setReady] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const go = async () => {
    setBusy(true);
    setReady(false);
    setError(undefined);
    try {
      await submit();
      setReady(true);
    } catch (e) {
      setError(e);
      // After the fields have got their messages.
      requestAnimationFrame(() => form.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus());
    } finally {
      setBusy(false);
    }
  };
  return (
    <Paper withBorder p="lg" maw={480}>
      <form ref={form} onSubmit={(e) => { e.preventDefault(); void go(); }}>
        <Stack>
          {error !== undefined && <Problem error={error} />}
          {children(error instanceof Failure ? error : undefined)}
          <Group><Button type="submit" loading={busy} color={color} variant={color ? 'outline' : 'filled'}>{label}</Button>{ready && done && <Text size="sm" role="status">{done}</Text>}</Group>
        </Stack>
      </form>
    </Paper>
  );
}

function Password({ label, value, change, isNew, failure, field = 'password' }: { label: string; value: string; change: (value: string) => void; isNew: boolean; failure?: Failure; field?: string }) {
  const { t } = useTranslation();
  return <PasswordInput label={label} required value={value} error={failure?.of(field)} onChange={(e) => change(e.currentTarget.value)} autoComplete={isNew ? 'new-password' : 'current-password'} visibilityToggleButtonProps={{ 'aria-label': t('Show the password') }} />;
}

/** Why a provider's answer led back here. */
function useProblem(): string | undefined {
  const { t } = useTranslation();
  const { problem } = useSearch({ strict: false }) as { problem?: string };
  const texts: Record<string, string> = {
    provider: t('Signing in with the provider did not work. Try again.'),
    consent: t('An account needs your consent to the terms of use. Accept them below, then sign in with the provider again.'),
    blocked: t('The account is blocked.'),
    email: t('The provider did not tell an e-mail address.'),
    closed: t('Signing up is not possible here.'),
    exists: t('There is an account with this address already. Sign in with its password.'),
  };
  return problem === undefined ? undefined : (texts[problem] ?? texts.provider);
}

/** The terms, and the box to accept them, where the publisher asks for that. */
function Consent({ checked, change, error }: { checked: boolean; change: (checked: boolean) => void; error?: string }) {
  const { t } = useTranslation();
  const terms = useService()?.terms;
  if (!terms) return null;
  return (
    <>
      <Text size="sm"><Link to="/terms">{t('Terms of use')}</Link></Text>
      {terms.consentRequired && <Checkbox label={t('I accept the terms of use')} checked={checked} error={error} onChange={(e) => change(e.currentTarget.checked)} />}
    </>
  );
}

function Providers({ isNew }: { isNew: boolean }) {
  const { t } = useTranslation();
  const service = useService();
  const { problem: given } = useSearch({ strict: false }) as { problem?: string };
  const problem = useProblem();
  const [consents, setConsents] = useState(false);
  if (!service || service.providers.length === 0) return problem ? <Alert role="alert" variant="outline" maw={480}>{problem}</Alert> : null;
  const asks = (isNew || given === 'consent') && service.terms?.consentRequired;
  return (
    <Stack maw={480}>
      {problem && <Alert role="alert" variant="outline">{problem}</Alert>}
      {asks && <Consent checked={consents} change={setConsents} />}
      {service.providers.map((p) => (
        <Button key={p.name} component="a" variant="default" href={`${BASE}/sign-in/${encodeURIComponent(p.name)}${consents ? '?consent=1' : ''}`}>
          {isNew ? t('Sign up with {{provider}}', { provider: p.displayName }) : t('Sign in with {{provider}}', { provider: p.displayName })}
        </Button>
      ))}
    </Stack>
  );
}

export function SignIn() {
  const { t } = useTranslation();
  const service = useService();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const refresh = useRefresh();
  const navigate = useNavigate();
  return (
    <Page title={t('Sign in')}>
      <Providers isNew={false} />
      <Ask label={t('Sign in')} submit={async () => { await ask('post', '/session', { body: { email, password } }); await refresh(); await navigate({ to: '/' }); }}>
        {() => (
          <>
            <TextInput label={t('E-mail address')} type="email" required value={email} onChange={(e) => setEmail(e.currentTarget.value)} autoComplete="username" />
            <Password label={t('Password')} value={password} change={setPassword} isNew={false} />
          </>
        )}
      </Ask>
      <Group><Link to="/reset">{t('I forgot the password')}</Link>{service?.signUpEnabled && <Link to="/signup">{t('Sign up')}</Link>}</Group>
    </Page>
  );
}

/** Where the publisher's own systems send people whom they know already. */
export function SignOn() {
  const { t } = useTranslation();
  const { token = '' } = useSearch({ strict: false }) as { token?: string };
  const refresh = useRefresh();
  const navigate = useNavigate();
  return (
    <Page title={t('Sign in')}>
      <Ask label={t('Continue')} submit={async () => { await ask('post', '/sso', { body: { token } }); await refresh(); await navigate({ to: '/', replace: true }); }}>
        {() => <Text>{t('You were sent here with a link that signs you in.')}</Text>}
      </Ask>
    </Page>
  );
}

export function SignUp() {
  const { t } = useTranslation();
  const service = useService();
  const [values, setValues] = useState({ firstName: '', lastName: '', email: '', password: '', consent: false });
  const [done, setDone] = useState(false);
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  return (
    <Page title={t('Sign up')}>
      {service && !service.signUpEnabled ? (
        <Text>{t('Signing up is not possible here.')}</Text>
      ) : done ? (
        <Text role="status">{t('Open the link in the mail that was sent to {{email}}.', { email: values.email })}</Text>
      ) : (
        <>
          <Providers isNew />
          <Ask label={t('Sign up')} submit={async () => { await ask('post', '/sign-up', { body: values }); setDone(true); }}>
            {(failure) => (
              <>
                <TextInput label={t('First name')} required value={values.firstName} error={failure?.of('firstName')} onChange={(e) => set({ firstName: e.currentTarget.value })} autoComplete="given-name" />
                <TextInput label={t('Last name')} required value={values.lastName} error={failure?.of('lastName')} onChange={(e) => set({ lastName: e.currentTarget.value })} autoComplete="family-name" />
                <TextInput label={t('E-mail address')} type="email" required value={values.email} error={failure?.of('email')} onChange={(e) => set({ email: e.currentTarget.value })} autoComplete="username" />
                <Password label={t('Password')} value={values.password} change={(password) => set({ password })} isNew failure={failure} />
                <Consent checked={values.consent} change={(consent) => set({ consent })} error={failure?.of('consent')} />
              </>
            )}
          </Ask>
        </>
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
        <Ask label={t('Mail me a link')} submit={async () => { await ask('post', '/reset', { body: { email } }); setDone(true); }}>
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
    ask('post', '/ticket', { body: { ticket } }).then(setFound, setError);
  }, [ticket]);
  return (
    <Page title={t('Confirm')}>
      {error !== undefined ? <Problem error={error} /> : !found ? <Loading /> : (
        <Ask
          label={found.needsPassword ? t('Set the password') : t('Confirm the address')}
          submit={async () => { await ask('post', '/confirm', { body: found.needsPassword ? { ticket, password } : { ticket } }); await refresh(); await navigate({ to: '/' }); }}
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
  return (
    <Page title={t('Profile')}>
      <Names key={me.email} firstName={me.firstName ?? ''} lastName={me.lastName ?? ''} email={me.email} />
      <NewPassword hasPassword={me.hasPassword ?? false} />
      <NewAddress hasPassword={me.hasPassword ?? false} />
      <Close email={me.email} hasPassword={me.hasPassword ?? false} />
    </Page>
  );
}

function Names(initial: { firstName: string; lastName: string; email: string }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [firstName, setFirstName] = useState(initial.firstName);
  const [lastName, setLastName] = useState(initial.lastName);
  return (
    <Ask label={t('Save')} done={t('Saved.')} submit={async () => { await ask('patch', '/profile', { body: { firstName, lastName } }); await refresh(); }}>
      {(failure) => (
        <>
          <Text>{initial.email}</Text>
          <TextInput label={t('First name')} required value={firstName} error={failure?.of('firstName')} onChange={(e) => setFirstName(e.currentTarget.value)} autoComplete="given-name" />
          <TextInput label={t('Last name')} required value={lastName} error={failure?.of('lastName')} onChange={(e) => setLastName(e.currentTarget.value)} autoComplete="family-name" />
        </>
      )}
    </Ask>
  );
}

function NewPassword({ hasPassword }: { hasPassword: boolean }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [password, setPassword] = useState('');
  const [newPassword, setNewPassword] = useState('');
  return (
    <Ask label={t('Change the password')} done={t('The password is changed. Other sessions of yours have ended.')} submit={async () => { await ask('post', '/profile/password', { body: { ...(hasPassword ? { password } : {}), newPassword } }); setPassword(''); setNewPassword(''); await refresh(); }}>
      {(failure) => (
        <>
          <Title order={2} size="h4">{t('Password')}</Title>
          {hasPassword && <Password label={t('Present password')} value={password} change={setPassword} isNew={false} failure={failure} />}
          <Password label={t('New password')} value={newPassword} change={setNewPassword} isNew failure={failure} field="newPassword" />
        </>
      )}
    </Ask>
  );
}

function NewAddress({ hasPassword }: { hasPassword: boolean }) {
  const { t } = useTranslation();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  return (
    <Ask label={t('Change the address')} done={t('Open the link in the mail that was sent to {{email}}.', { email })} submit={async () => { await ask('post', '/profile/email', { body: { email, ...(hasPassword ? { password } : {}) } }); setPassword(''); }}>
      {(failure) => (
        <>
          <Title order={2} size="h4">{t('E-mail address')}</Title>
          <TextInput label={t('New e-mail address')} type="email" required value={email} error={failure?.of('email')} onChange={(e) => setEmail(e.currentTarget.value)} autoComplete="email" />
          {hasPassword && <Password label={t('Present password')} value={password} change={setPassword} isNew={false} failure={failure} />}
        </>
      )}
    </Ask>
  );
}

function Close({ email, hasPassword }: { email: string; hasPassword: boolean }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const navigate = useNavigate();
  const [typed, setTyped] = useState('');
  const [password, setPassword] = useState('');
  return (
    <Ask label={t('Close the account')} color="red" submit={async () => { await ask('post', '/profile/close', { body: { email: typed, ...(hasPassword ? { password } : {}) } }); await navigate({ to: '/' }); await refresh(); }}>
      {(failure) => (
        <>
          <Title order={2} size="h4">{t('Close the account')}</Title>
          <Text size="sm">{t('Your subscriptions end and their keys stop working at once. This cannot be undone.')}</Text>
          <TextInput label={t('Type {{email}} to confirm', { email })} required value={typed} error={failure?.of('email')} onChange={(e) => setTyped(e.currentTarget.value)} autoComplete="off" />
          {hasPassword && <Password label={t('Present password')} value={password} change={setPassword} isNew={false} failure={failure} />}
        </>
      )}
    </Ask>
  );
}

export function Terms() {
  const { t } = useTranslation();
  const service = useService();
  return <Page title={t('Terms of use')}>{service?.terms ? <Html html={service.terms.html} /> : <Text>{t('There is no such page.')}</Text>}</Page>;
}
