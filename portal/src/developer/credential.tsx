import { Group, NativeSelect, PasswordInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Problem } from '../shared/ui';
import { ask, useAsk, useMe, type ApiPage as Api } from './api';

/** Which key is sent: of a subscription of the reader's own, or typed. */
export interface Credential {
  subscription: string;
  key: string;
}

export const NO_CREDENTIAL: Credential = { subscription: '', key: '' };

/** Chooses a key by the subscription that it is of; the key is fetched only then. */
export function CredentialFields({ api, credential, change }: { api: Api; credential: Credential; change: (credential: Credential) => void }) {
  const { t } = useTranslation();
  const me = useMe();
  const [error, setError] = useState<unknown>();
  const subscriptions = useAsk('/subscriptions', {}, Boolean(me?.email));
  const usable = subscriptions.data?.value.filter((s) => s.state === 'active') ?? [];
  const choose = async (subscription: string) => {
    setError(undefined);
    if (!subscription) return change(NO_CREDENTIAL);
    try {
      change({ subscription, key: (await ask('post', '/subscriptions/{sid}/keys', { path: { sid: subscription } })).primaryKey });
    } catch (e) {
      setError(e);
    }
  };
  return (
    <>
      {error !== undefined && <Problem error={error} />}
      <Group align="flex-end">
        {usable.length > 0 && <NativeSelect label={t('Subscription')} value={credential.subscription} data={[{ value: '', label: t('none') }, ...usable.map((s) => ({ value: s.name, label: s.displayName ?? s.name }))]} onChange={(e) => void choose(e.currentTarget.value)} />}
        <PasswordInput label={api.keyNames.header ?? 'Ocp-Apim-Subscription-Key'} value={credential.key} onChange={(e) => change({ subscription: '', key: e.currentTarget.value })} autoComplete="off" flex={1} visibilityToggleButtonProps={{ 'aria-label': t('Show the key') }} />
      </Group>
    </>
  );
}
