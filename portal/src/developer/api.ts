import { useQuery, useQueryClient } from '@tanstack/react-query';
import { send } from '../shared/failure';
import type { components, paths } from './schema.gen';

/** The service whose portal this is: the first part of the address. */
export const SERVICE = decodeURIComponent(window.location.pathname.split('/')[1] ?? '');
export const BASE = `/${encodeURIComponent(SERVICE)}/api`;

type Schemas = components['schemas'];
export type Me = Schemas['Me'];
export type ServiceInfo = Schemas['Service'];
export type Product = Schemas['Product'];
export type Api = Schemas['Api'];
export type ApiPage = Schemas['ApiPage'];
export type Operation = Schemas['Operation'];
export type Parameter = Schemas['ParameterContract'];
export type Representation = Schemas['RepresentationContract'];
export type Subscription = Schemas['Subscription'];
export type Issue = Schemas['Issue'];
export type Usage = Schemas['Usage'];
export type Reply = Schemas['Reply'];

type Verb = 'get' | 'post' | 'patch' | 'delete';
type With<V extends Verb> = { [P in keyof paths]: paths[P] extends Record<V, { responses: unknown }> ? P : never }[keyof paths];
type Content<T> = T extends { content: { 'application/json': infer C } } ? C : never;
type Body<P extends keyof paths, V extends Verb> = paths[P] extends Record<V, { requestBody: infer B }> ? Content<B> : undefined;
type Answer<P extends keyof paths, V extends Verb> = paths[P] extends Record<V, { responses: infer R }> ? Content<R[keyof R & (200 | 201)]> : never;
interface Options<B> {
  /** What stands in the place of the path's names. */
  path?: Record<string, string>;
  query?: Record<string, string | number | undefined>;
  body?: B;
}

/** The address of an operation, its names and query filled in. */
export function address(path: keyof paths, options: Options<unknown> = {}): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(options.path?.[name] ?? ''));
  const query = Object.entries(options.query ?? {}).filter(([, value]) => value !== undefined && value !== '');
  return filled + (query.length > 0 ? `?${new URLSearchParams(query.map(([name, value]) => [name, String(value)]))}` : '');
}

/** Calls an operation of the developer API as its document describes it. */
export async function ask<V extends Verb, P extends With<V>>(verb: V, path: P, options: Options<Body<P, V>> = {}): Promise<Answer<P, V>> {
  return (await send<Answer<P, V>>(verb.toUpperCase(), BASE + address(path, options), options.body)).data;
}

/** Reads, keeps and refreshes what an operation answers. */
export function useAsk<P extends With<'get'>>(path: P, options: Options<Body<P, 'get'>> = {}, enabled = true) {
  return useQuery({ queryKey: [address(path, options)], queryFn: () => ask('get', path, options), enabled });
}

export function useRefresh() {
  const client = useQueryClient();
  return () => client.invalidateQueries();
}

export function useMe(): Me | undefined {
  return useAsk('/session').data;
}

export function useService(): ServiceInfo | undefined {
  return useAsk('/service').data;
}
