import { Button, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Problem } from '../../shared/ui';
import { call, useService, type Resource } from '../api';
import { KindList, KindPage, type Kind } from '../kind';

interface AuthorizationServer {
  displayName: string;
  description?: string | null;
  authorizationEndpoint: string;
  tokenEndpoint?: string | null;
  grantTypes: string[];
  clientId: string;
}

function useServers(): Kind<AuthorizationServer> {
  const { t } = useTranslation();
  const grants: Record<string, string> = { authorizationCode: 'Authorization code', authorizationCodeWithPkce: 'Authorization code + PKCE', implicit: 'Implicit', resourceOwnerPassword: 'Resource owner password', clientCredentials: 'Client credentials' };
  const some = (values: string[]) => values.map((value) => ({ value, label: value }));
  return {
    segment: 'authorizationServers',
    route: '/$service/authorization-servers',
    title: t('Authorization servers'),
    about: t('OAuth 2.0 servers whose tokens APIs ask for; an API names one in its settings.'),
    add: t('Add an authorization server'),
    taken: t('There is an authorization server of that name.'),
    searched: 'displayName',
    named: 'displayName',
    initial: { grantTypes: ['authorizationCode'], authorizationMethods: ['GET'], clientAuthenticationMethod: ['Basic'], bearerTokenSendingMethods: ['authorizationHeader'], useInTestConsole: true },
    fields: (isNew) => [
      { name: 'displayName', label: t('Display name'), required: true },
      { name: 'description', label: t('Description'), kind: 'area' },
      { name: 'clientRegistrationEndpoint', label: t('Page where clients are registered'), kind: 'url', required: true },
      { name: 'authorizationEndpoint', label: t('Authorization endpoint'), kind: 'url', required: true },
      { name: 'tokenEndpoint', label: t('Token endpoint'), kind: 'url' },
      { name: 'grantTypes', label: t('Grant types'), kind: 'choices', required: true, options: Object.entries(grants).map(([value, label]) => ({ value, label })) },
      { name: 'authorizationMethods', label: t('Verbs of the authorization endpoint'), kind: 'choices', options: some(['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE', 'TRACE']) },
      { name: 'clientAuthenticationMethod', label: t('How the client proves itself'), kind: 'choices', options: [{ value: 'Basic', label: t('in a header') }, { value: 'Body', label: t('in the body') }] },
      { name: 'bearerTokenSendingMethods', label: t('Where calls carry the token'), kind: 'choices', options: [{ value: 'authorizationHeader', label: 'Authorization' }, { value: 'query', label: t('in a query parameter') }] },
      { name: 'defaultScope', label: t('Scope that is asked for') },
      { name: 'supportState', label: t('It gives the state back'), kind: 'switch' },
      { name: 'useInTestConsole', label: t('For trying out in the developer portal'), kind: 'switch' },
      { name: 'clientId', label: t('Client id'), required: true },
      { name: 'clientSecret', label: isNew ? t('Client secret') : t('New client secret'), kind: 'password' },
    ],
    sent: (values) => Object.fromEntries(Object.entries(values).filter(([name, value]) => name !== 'clientSecret' || value)),
    columns: (link) => [
      { label: t('Name'), sort: 'displayName', cell: (s) => link(s, s.properties.displayName) },
      { label: t('Grant types'), cell: (s) => s.properties.grantTypes.map((g) => grants[g] ?? g).join(', ') },
      { label: t('Authorization endpoint'), cell: (s) => <span className="mono">{s.properties.authorizationEndpoint}</span> },
      { label: t('Client id'), cell: (s) => <span className="mono">{s.properties.clientId}</span> },
    ],
    shown: (s) => s.properties.displayName,
    deletion: t('APIs that name it name nothing any more.'),
    extra: (s) => <ClientSecret server={s} />,
  };
}

function ClientSecret({ server }: { server: Resource<AuthorizationServer> }) {
  const { t } = useTranslation();
  const service = useService();
  const [secret, setSecret] = useState<string>();
  const [error, setError] = useState<unknown>();
  const show = () => call<{ clientSecret?: string | null }>('POST', `${service.id}/authorizationServers/${server.name}/listSecrets`).then((r) => setSecret(r.data.clientSecret ?? ''), setError);
  return (
    <>
      {error !== undefined && <Problem error={error} />}
      <Group>
        <Button size="compact-sm" variant="default" onClick={() => (secret === undefined ? void show() : setSecret(undefined))}>{secret === undefined ? t('Show the secret') : t('Hide the secret')}</Button>
        {secret !== undefined && <Text className="mono">{secret || t('none')}</Text>}
      </Group>
    </>
  );
}

export function AuthorizationServers() {
  return <KindList kind={useServers()} />;
}

export function AuthorizationServerPage() {
  return <KindPage kind={useServers()} />;
}
