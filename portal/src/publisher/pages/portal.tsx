import { Button, Card, FileInput, Group, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../../shared/failure';
import { Ask, Loaded, Page, Problem } from '../../shared/ui';
import { call, nameOf, useGet, useRefresh, useService, type Listed, type Resource } from '../api';
import { Form, type Values } from '../form';

interface Look {
  title?: string | null;
  logo?: string | null;
  accentColor?: string | null;
  welcome?: string | null;
  pages?: string[] | null;
  signInProviders?: string[] | null;
}
interface SignUp {
  enabled?: boolean;
  termsOfService?: { text?: string; enabled: boolean; consentRequired: boolean };
}
interface Documentation {
  title?: string;
  content?: string;
}

const list = (text: unknown) => String(text ?? '').split(',').map((part) => part.trim()).filter(Boolean);

/** What visitors of the developer portal see of the publisher: look, pages, terms. */
export function DeveloperPortal() {
  const { t } = useTranslation();
  const service = useService();
  const path = `${service.id}/developerPortals/default`;
  const look = useQuery({
    queryKey: [path],
    // Until somebody saves it, there is none: every value is a default.
    queryFn: () => call<Resource<Look>>('GET', path).then((a) => a.data.properties, (e: unknown) => { if (e instanceof Failure && e.status === 404) return {} as Look; throw e; }),
  });
  const signUp = useGet<Resource<SignUp>>(`${service.id}/portalsettings/signup`);
  const pages = useGet<Listed<Documentation>>(`${service.id}/documentations?$top=100`);
  // Here, because the form begins anew with what was saved.
  const [done, setDone] = useState(false);
  return (
    <Page title={t('Developer portal')} actions={service.properties.developerPortalUrl && <Button component="a" variant="default" href={service.properties.developerPortalUrl}>{t('Open the developer portal')}</Button>}>
      <Loaded query={look}>{(stored) => <LookForm key={JSON.stringify(stored)} path={path} stored={stored} done={done} onDone={setDone} />}</Loaded>
      <Loaded query={signUp}>{({ data }) => <SignUpForm key={JSON.stringify(data.properties)} path={`${service.id}/portalsettings/signup`} stored={data.properties} />}</Loaded>
      <Loaded query={pages}>{({ data }) => <Pages pages={data.value} shown={look.data?.pages ?? []} />}</Loaded>
    </Page>
  );
}

function LookForm({ path, stored, done, onDone }: { path: string; stored: Look; done: boolean; onDone: (done: boolean) => void }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [logo, setLogo] = useState(stored.logo ?? null);
  const [error, setError] = useState<unknown>();
  const read = (file: File | null) => {
    setError(undefined);
    if (!file) return setLogo(null);
    const reader = new FileReader();
    reader.onload = () => setLogo(String(reader.result));
    reader.onerror = () => setError(reader.error);
    reader.readAsDataURL(file);
  };
  return (
    <Card withBorder component="section" aria-label={t('Look and pages')}>
      <Stack>
        <Title order={2} size="h4">{t('Look and pages')}</Title>
        {error !== undefined && <Problem error={error} />}
        <Group align="flex-end">
          <FileInput label={t('Logo')} placeholder={t('Choose an image')} accept="image/png,image/jpeg,image/webp,image/gif,image/svg+xml" onChange={read} w={280} />
          {logo && <img src={logo} alt={t('Logo')} className="logo" />}
          {logo && <Button variant="default" onClick={() => setLogo(null)}>{t('Remove the logo')}</Button>}
        </Group>
        <Form
          label={t('Save')}
          initial={{ title: stored.title ?? '', accentColor: stored.accentColor ?? '', welcome: stored.welcome ?? '', pages: (stored.pages ?? []).join(', '), signInProviders: (stored.signInProviders ?? []).join(', ') }}
          fields={[
            { name: 'title', label: t('Name that visitors see') },
            { name: 'accentColor', label: t('Colour of links and buttons'), help: '#0b5cad' },
            { name: 'welcome', label: t('Greeting on the first page'), kind: 'area', help: 'Markdown' },
            { name: 'pages', label: t('Pages in the menu'), help: t('Names of the pages below, joined by commas.') },
            { name: 'signInProviders', label: t('OpenID Connect providers with which developers may sign in'), help: t('Their names, joined by commas. Whom they vouch for gets an account.') },
          ]}
          submit={async (values) => {
            onDone(false);
            await call('PUT', path, { properties: { title: values.title || null, accentColor: values.accentColor || null, welcome: values.welcome || null, logo, pages: list(values.pages), signInProviders: list(values.signInProviders) } }, '*');
            onDone(true);
            await refresh();
          }}
        />
        {done && <Text role="status">{t('Saved.')}</Text>}
      </Stack>
    </Card>
  );
}

function SignUpForm({ path, stored }: { path: string; stored: SignUp }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  return (
    <Card withBorder component="section" aria-label={t('Sign-up and terms')}>
      <Stack>
        <Title order={2} size="h4">{t('Sign-up and terms')}</Title>
        <Form
          label={t('Save the terms')}
          initial={{ enabled: stored.enabled ?? true, text: stored.termsOfService?.text ?? '', shown: stored.termsOfService?.enabled ?? false, consentRequired: stored.termsOfService?.consentRequired ?? false }}
          fields={[
            { name: 'enabled', label: t('Visitors may sign up'), kind: 'switch' },
            { name: 'text', label: t('Terms of use'), kind: 'area', help: 'Markdown' },
            { name: 'shown', label: t('The terms are shown'), kind: 'switch' },
            { name: 'consentRequired', label: t('Signing up needs consent to the terms'), kind: 'switch' },
          ]}
          submit={async (values: Values) => {
            await call('PUT', path, { properties: { enabled: values.enabled, termsOfService: { text: values.text, enabled: values.shown, consentRequired: values.consentRequired } } }, '*');
            await refresh();
          }}
        />
      </Stack>
    </Card>
  );
}

function Pages({ pages, shown }: { pages: Resource<Documentation>[]; shown: string[] }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [edited, setEdited] = useState<Resource<Documentation> | 'new'>();
  const [deleted, setDeleted] = useState<Resource<Documentation>>();
  const stored = edited === 'new' ? undefined : edited;
  return (
    <Card withBorder component="section" aria-label={t('Pages')}>
      <Stack>
        <Title order={2} size="h4">{t('Pages')}</Title>
        {pages.map((p) => (
          <Group key={p.name} gap="xs">
            <Text>{p.properties.title ?? p.name} <span className="mono">{p.name}</span>{shown.includes(p.name) ? '' : ` (${t('not in the menu')})`}</Text>
            <Button size="compact-sm" variant="default" aria-label={t('Edit {{name}}', { name: p.name })} onClick={() => setEdited(p)}>{t('Edit')}</Button>
            <Button size="compact-sm" color="red" variant="outline" aria-label={t('Delete {{name}}', { name: p.name })} onClick={() => setDeleted(p)}>{t('Delete')}</Button>
          </Group>
        ))}
        {edited ? (
          <Form
            key={stored?.name ?? ''}
            label={t('Save the page')}
            initial={{ title: stored?.properties.title ?? '', content: stored?.properties.content ?? '' }}
            fields={[{ name: 'title', label: t('Title'), required: true }, { name: 'content', label: t('Content'), kind: 'area', help: 'Markdown' }]}
            submit={async (values) => {
              await call('PUT', `${service.id}/documentations/${stored?.name ?? nameOf(String(values.title ?? ''))}`, { properties: values }, stored ? '*' : undefined);
              setEdited(undefined);
              await refresh();
            }}
          />
        ) : (
          <Group><Button variant="default" onClick={() => setEdited('new')}>{t('Add a page')}</Button></Group>
        )}
        <Ask opened={deleted !== undefined} title={t('Delete {{name}}?', { name: deleted?.name ?? '' })} text={t('Visitors cannot read it any more.')} action={t('Delete')} onClose={() => setDeleted(undefined)} onYes={async () => { if (deleted) await call('DELETE', `${service.id}/documentations/${deleted.name}`, undefined, '*'); await refresh(); }} />
      </Stack>
    </Card>
  );
}
