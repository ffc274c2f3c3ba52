import { useQuery, useQueryClient } from '@tanstack/react-query';
import { send } from '../shared/failure';

/** The service whose portal this is: the first part of the address. */
export const SERVICE = decodeURIComponent(window.location.pathname.split('/')[1] ?? '');
const BASE = `/${encodeURIComponent(SERVICE)}/api`;

export interface Me {
  userId?: string;
  firstName?: string;
  lastName?: string;
  email?: string;
}
export interface ServiceInfo {
  name: string;
  publisherName: string;
  publisherEmail: string;
  gatewayUrl: string | null;
}
export interface Product {
  name: string;
  displayName: string;
  description: string | null;
  terms: string | null;
  subscriptionRequired: boolean;
  approvalRequired: boolean;
  subscriptionsLimit: number | null;
  apis?: Api[];
}
export interface Parameter {
  name: string;
  type?: string;
  required?: boolean;
  defaultValue?: string;
  description?: string;
  values?: string[];
}
export interface Representation {
  contentType: string;
  sample?: string;
  examples?: Record<string, { value?: unknown }>;
}
export interface Operation {
  name: string;
  displayName: string;
  method: string;
  urlTemplate: string;
  templateParameters: Parameter[];
  description: string | null;
  request: { queryParameters?: Parameter[]; headers?: Parameter[]; representations?: Representation[]; description?: string } | null;
  responses: { statusCode: number; description?: string }[];
}
export interface Api {
  name: string;
  displayName: string;
  description: string | null;
  version: string | null;
  subscriptionRequired: boolean;
  keyNames: { header?: string; query?: string };
  baseUrl: string;
  operations?: Operation[];
  products?: Product[];
}
export interface Subscription {
  name: string;
  displayName: string | null;
  scope: string;
  state: string;
  createdDate: string;
  stateComment: string | null;
  product: string | null;
}

export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await send<T>(method, BASE + path, body)).data;
}

export function useAsk<T>(path: string, enabled = true) {
  return useQuery({ queryKey: [path], queryFn: () => ask<T>('GET', path), enabled });
}

export function useRefresh() {
  const client = useQueryClient();
  return () => client.invalidateQueries();
}

export function useMe(): Me | undefined {
  return useAsk<Me>('/session').data;
}
