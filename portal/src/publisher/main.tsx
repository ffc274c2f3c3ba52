import { RouterProvider } from '@tanstack/react-router';
import { mount } from '../shared/mount';
import { router } from './router';

void mount(<RouterProvider router={router} />, () => import('../i18n/publisher.cs.json'));
