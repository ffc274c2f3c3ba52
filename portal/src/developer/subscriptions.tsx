import { Button, Card, Group, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Ask, Keys, Loaded, Page, State } from '../shared/ui';
import { ask, useAsk, useMe, useRefresh, type Subscription } from './api';

export function Subscriptions() {
  const { t } = useTranslation();
  const me = useMe();
  const query = useAsk<{ value: Subscription[] }>('/subscriptions', Boolean(me?.email));
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
  const path = `/subscriptions/${encodeURIComponent(subscription.name)}`;
  const open = ['active', 'submitted', 'suspended'].includes(subscription.state);
  return (
    <Card withBorder component="article">
      <Stack gap="xs">
        <Group><Text component="h2" fw={600}>{subscription.displayName ?? subscription.name}</Text><State value={subscription.state} /></Group>
        <Text size="sm">{subscription.product ?? subscription.scope} · {new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium' }).format(new Date(subscription.createdDate))}</Text>
        {subscription.stateComment && <Text size="sm">{subscription.stateComment}</Text>}
        {subscription.state === 'active' && <Keys fetchKeys={() => ask('POST', `${path}/keys`)} regenerate={async (key) => { await ask('POST', `${path}/regenerate`, { key }); }} />}
        {open && <Group><Button size="compact-sm" color="red" variant="outline" onClick={() => setAsked(true)}>{t('Cancel the subscription')}</Button></Group>}
        <Ask opened={asked} title={t('Cancel the subscription?')} text={t('Its keys stop working at once.')} action={t('Cancel the subscription')} onClose={() => setAsked(false)} onYes={async () => { await ask('POST', `${path}/cancel`); await refresh(); }} />
      </Stack>
    </Card>
  );
}
