import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import type { components } from '../api/schema.gen';
import { Failure, send, type Answer } from '../shared/failure';

type All = components['schemas'];
/** The properties of every kind of resource. */
export type Schemas = { [K in keyof All]: All[K] extends { properties?: infer P } ? NonNullable<P> : All[K] };
export interface Parameter {
  name: string;
  type: string;
  required?: boolean;
  defaultValue?: string;
  description?: string;
  values?: string[];
}
export interface Representation {
  contentType: string;
  sample?: string;
  examples?: Record<string, { value?: unknown }>;
  schemaId?: string;
  typeName?: string;
  formParameters?: Parameter[];
}
export type Operation = Omit<Schemas['ApiOperationContract'], 'templateParameters' | 'request' | 'responses'> & {
  templateParameters?: Parameter[];
  request?: { description?: string; queryParameters?: Parameter[]; headers?: Parameter[]; representations?: Representation[] };
  responses?: { statusCode: number; description?: string; representations?: Representation[]; headers?: Parameter[] }[];
};

export const VERSION = '2024-05-01';
export const PROVIDER = 'providers/Microsoft.ApiManagement';

/** A resource as the management API shows it. */
export interface Resource<P = Record<string, unknown>> {
  id: string;
  name: string;
  properties: P;
  location?: string;
  sku?: { name: string; capacity: number };
}
export interface Listed<P> {
  value: Resource<P>[];
  count?: number;
  nextLink?: string;
}
export type Service = Resource<{ provisioningState: string; gatewayUrl?: string; developerPortalUrl?: string; publisherEmail: string; publisherName: string }>;

export function versioned(path: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}api-version=${VERSION}`;
}

export function call<T>(method: string, path: string, body?: unknown, etag?: string): Promise<Answer<T>> {
  return send<T>(method, versioned(path), body, etag);
}

/** Every service that the account may see, over all subscriptions. */
export function useServices() {
  return useQuery({
    queryKey: ['services'],
    queryFn: async () => {
      const subscriptions = (await call<{ value: { subscriptionId: string }[] }>('GET', '/subscriptions')).data.value;
      const lists = await Promise.all(subscriptions.map((s) => call<{ value: Service[] }>('GET', `/subscriptions/${s.subscriptionId}/${PROVIDER}/service`)));
      return lists.flatMap((l) => l.data.value).sort((a, b) => a.name.localeCompare(b.name));
    },
  });
}

/** The service of the address. */
export function useService(): Service {
  const { service } = useParams({ strict: false });
  const found = useServices().data?.find((s) => s.name.toLowerCase() === service?.toLowerCase());
  if (!found) throw new Error(`There is no service ${service}.`);
  return found;
}

export function useGet<T>(path: string | undefined) {
  return useQuery({
    queryKey: ['get', path],
    queryFn: async () => call<T>('GET', path ?? ''),
    enabled: path !== undefined,
  });
}

export function useList<P>(path: string | undefined) {
  return useQuery({
    queryKey: ['list', path],
    queryFn: async () => (await call<Listed<P>>('GET', path ?? '')).data,
    enabled: path !== undefined,
    placeholderData: keepPreviousData,
  });
}

/** Whether there is something at a path: a form that adds asks first, because `If-None-Match` is no part of the contract. */
export async function exists(path: string): Promise<boolean> {
  try {
    await call('GET', path);
    return true;
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return false;
    throw error;
  }
}

/** A text in a filter. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Makes everything that is shown be asked for again. */
export function useRefresh() {
  const client = useQueryClient();
  return () => client.invalidateQueries();
}

/** A name for a new resource, made of what people call it. */
export function nameOf(text: string): string {
  const name = text.toLowerCase().normalize('NFKD').replace(/[̀-ͯ]/g, '').replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  return name.slice(0, 70) || `r${crypto.randomUUID().slice(0, 8)}`;
}
