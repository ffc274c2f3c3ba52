import { Button, Card, Group, Stack, Text, TextInput } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Ask, Keys, Loaded, Page, Problem, State } from '../shared/ui';
import { ask, useAsk, useMe, useRefresh, type Subscription } from './api';

export function Subscriptions() {
  const { t } = useTranslation();
  const me = useMe();
  const query = useAsk('/subscriptions', {}, Boolean(me?.email));
  if (me && !me.email) return <Text>{t('Sign in first.')}</Text>;
  return (
    <Page title={t('Subscriptions')}>
      <Loaded query={query}>
        {({ value }) => (value.length === 0 ? <Text>{t('You have no subscriptions yet.')} <Link to="/products">{t('Choose a product')}</Link></Text> : <Stack>{value.map((s) => <One key={s.name} subscription={s} />)}</Stack>)}
      </Loaded>
    </Page>
  );
}

function One({ subscription }: { subscription: Subscription }) {
  const { t, i18n } = useTranslation();
  const refresh = useRefresh();
  const [asked, setAsked] = useState(false);
  const [renaming, setRenaming] = useState(false);
  const path = { sid: subscription.name };
  const open = ['active', 'submitted', 'suspended'].includes(subscription.state);
  return (
    <Card withBorder component="article">
      <Stack gap="xs">
        {renaming ? <Rename subscription={subscription} onClose={() => setRenaming(false)} /> : <Group><Text component="h2" fw={600}>{subscription.displayName ?? subscription.name}</Text><State value={subscription.state} /></Group>}
        <Text size="sm">{subscription.product ?? subscription.scope} · {new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium' }).format(new Date(subscription.createdDate))}</Text>
        {subscription.stateComment && <Text size="sm">{subscription.stateComment}</Text>}
        {subscription.state === 'active' && <Keys fetchKeys={() => ask('post', '/subscriptions/{sid}/keys', { path })} regenerate={async (key) => { await ask('post', '/subscriptions/{sid}/regenerate', { path, body: { key } }); }} />}
        {open && (
          <Group>
            {!renaming && <Button size="compact-sm" variant="default" onClick={() => setRenaming(true)}>{t('Rename')}</Button>}
            <Button size="compact-sm" color="red" variant="outline" onClick={() => setAsked(true)}>{t('Cancel the subscription')}</Button>
          </Group>
        )}
        <Ask opened={asked} title={t('Cancel the subscription?')} text={t('Its keys stop working at once.')} action={t('Cancel the subscription')} onClose={() => setAsked(false)} onYes={async () => { await ask('post', '/subscriptions/{sid}/cancel', { path }); await refresh(); }} />
      </Stack>
    </Card>
  );
}

function Rename({ subscription, onClose }: { subscription: Subscription; onClose: () => void }) {
  const { t } = useTranslation();
  const refresh = useRefresh();
  const [displayName, setDisplayName] = useState(subscription.displayName ?? subscription.name);
  const [error, setError] = useState<unknown>();
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        ask('patch', '/subscriptions/{sid}', { path: { sid: subscription.name }, body: { displayName } }).then(refresh).then(onClose, setError);
      }}
    >
      <Stack gap="xs">
        {error !== undefined && <Problem error={error} />}
        <Group align="flex-end" gap="xs">
          <TextInput label={t('Name of your subscription')} required value={displayName} onChange={(e) => setDisplayName(e.currentTarget.value)} data-autofocus />
          <Button type="submit">{t('Save')}</Button>
          <Button variant="default" onClick={onClose}>{t('Cancel')}</Button>
        </Group>
      </Stack>
    </form>
  );
}
