import { useTranslation } from 'react-i18next';

/** What is no resource of its own but only says that two belong together. */
const LINKS = ['products/apis', 'products/groups', 'products/tags', 'apis/tags', 'operations/tags', 'gateways/apis', 'groups/users'];

/** The last two types of a type, where it is a link between them. */
export function linked(type: string): [string, string] | undefined {
  const [parent, tail] = type.split('/').slice(-2);
  return LINKS.includes(`${parent}/${tail}`) ? [parent, tail] : undefined;
}

/** What people call the resources of a type, such as `Microsoft.ApiManagement/service/apis/operations`. */
export function useKindName(): (type: string) => string {
  const { t } = useTranslation();
  const names: Record<string, string> = {
    apis: t('APIs'), apiVersionSets: t('Versions'), authorizationServers: t('Authorization servers'), backends: t('Backends'), caches: t('Caches'), certificates: t('Certificates'),
    comments: t('Comments'), diagnostics: t('Diagnostics'), documentations: t('Pages'), gateways: t('Gateways'), groups: t('Groups'), identityProviders: t('Identity providers'), issues: t('Issues'),
    loggers: t('Loggers'), namedValues: t('Named values'), openidConnectProviders: t('OpenID Connect providers'), operations: t('Operations'), policies: t('Policies'), policyFragments: t('Policy fragments'),
    products: t('Products'), releases: t('Change log'), schemas: t('Schemas'), subscriptions: t('Subscriptions'), tags: t('Tags'), tagDescriptions: t('Descriptions of tags'), users: t('Users'),
    attachments: t('Attachments'), resolvers: t('Resolvers'), wikis: t('Wiki pages'),
  };
  return (type) => {
    const tail = type.split('/').pop() ?? type;
    return names[tail] ?? tail;
  };
}
