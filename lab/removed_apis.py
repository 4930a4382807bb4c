"""APIs that Kubernetes had and no longer has, as the command knows them."""

from migration.objects.removed_apis import REMOVED, why_gone

__all__ = ["REMOVED", "why_gone"]
