#!/usr/bin/env bash
# Drives a running Portico with the unmodified Azure CLI over TLS.
#
#   az.sh AZ MANAGEMENT_TLS_URL IDENTITY_URL CA_FILE TOKEN SERVICE_NAME CLIENT_ID CLIENT_SECRET
#
# AZ is the program; IDENTITY_URL the managed-identity endpoint, with TOKEN as its secret; the client is an
# application that may own services. Ends with the first difference. The last line says how many answers were checked.
set -euo pipefail

az=$1 management=$2 identity=$3 ca=$4 token=$5 service=$6 client_id=$7 client_secret=$8
AZURE_CONFIG_DIR=$(mktemp -d)
trap 'rm -rf "$AZURE_CONFIG_DIR"' EXIT
export AZURE_CONFIG_DIR REQUESTS_CA_BUNDLE=$ca AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_NO_COLOR=true
export IDENTITY_ENDPOINT=$identity IDENTITY_HEADER=$token
checked=0

# check EXPECTED ARGUMENTS OF AZ..
check() {
    local expected=$1 actual
    shift
    actual=$("$az" "$@" --output tsv)
    if [ "$actual" != "$expected" ]; then
        printf 'az %s\n  expected: %s\n  answered: %s\n' "$*" "$expected" "$actual" >&2
        exit 1
    fi
    checked=$((checked + 1))
}

# refused EXPECTED ARGUMENTS OF AZ..: the command fails, and says EXPECTED.
refused() {
    local expected=$1 said
    shift
    if said=$("$az" "$@" --output none 2>&1); then
        echo "az $* should have been refused" >&2
        exit 1
    fi
    case $said in
    *"$expected"*) checked=$((checked + 1)) ;;
    *)
        printf 'az %s\n  expected: %s\n  said: %s\n' "$*" "$expected" "$said" >&2
        exit 1
        ;;
    esac
}

"$az" cloud register --name portico --endpoint-resource-manager "$management" --output none
"$az" cloud set --name portico --output none
# Without this, az asks the public cloud whether it knows the sign-in's host.
"$az" config set core.instance_discovery=false --only-show-errors --output none
"$az" login --identity --allow-no-subscriptions --output none
here=(--resource-group demo-rg --service-name "$service")

check true apim check-name --name "$service" --query nameAvailable
"$az" apim create --resource-group demo-rg --name "$service" --location westus --sku-name Developer \
    --publisher-name demo --publisher-email admin@example.org --output none
check false apim check-name --name "$service" --query nameAvailable
check Succeeded apim show --resource-group demo-rg --name "$service" --query provisioningState
check "$service" apim list --resource-group demo-rg --query '[].name'
check renamed apim update --resource-group demo-rg --name "$service" --publisher-name renamed --query publisherName

refused 'is already in use' apim create --resource-group other --name "$service" --location westus --sku-name Developer \
    --publisher-name demo --publisher-email admin@example.org
check azureml-demo apim api create "${here[@]}" --api-id azureml-demo --display-name 'AzureML Demo API' --path azureml-demo \
    --service-url https://example.org --protocols https --query name
check 'AzureML Demo API' apim api show "${here[@]}" --api-id azureml-demo --query displayName
check described apim api update "${here[@]}" --api-id azureml-demo --description described --query description
check $'azureml-demo\necho-api' apim api list "${here[@]}" --query '[].name'
refused 'Api not found.' apim api show "${here[@]}" --api-id nothing

check rrs-execute apim api operation create "${here[@]}" --api-id azureml-demo --operation-id rrs-execute \
    --display-name 'RRS Execute' --method POST --url-template '/execute?api-version={apiversion}' \
    --template-parameters name=apiversion type=string required=true --query name
check POST apim api operation show "${here[@]}" --api-id azureml-demo --operation-id rrs-execute --query method
check 'RRS' apim api operation update "${here[@]}" --api-id azureml-demo --operation-id rrs-execute --display-name RRS --query displayName
refused 'templateParameters' apim api operation create "${here[@]}" --api-id azureml-demo --operation-id bad \
    --display-name bad --method GET --url-template '/{undeclared}'
check rrs-execute apim api operation list "${here[@]}" --api-id azureml-demo --query '[].name'

check gold apim product create "${here[@]}" --product-id gold --product-name Gold --state published --query name
check Gold apim product show "${here[@]}" --product-id gold --query displayName
check Golden apim product update "${here[@]}" --product-id gold --product-name Golden --query displayName
check $'gold\nstarter\nunlimited' apim product list "${here[@]}" --query '[].name'
check azureml-demo apim product api add "${here[@]}" --product-id gold --api-id azureml-demo --query name
check true apim product api check "${here[@]}" --product-id gold --api-id azureml-demo
check azureml-demo apim product api list "${here[@]}" --product-id gold --query '[].name'

check team apim nv create "${here[@]}" --named-value-id team --display-name team --value blue --secret true --query name
check blue apim nv show-secret "${here[@]}" --named-value-id team --query value
check true apim nv show "${here[@]}" --named-value-id team --query secret
check team apim nv list "${here[@]}" --query '[].name'
"$az" apim nv update "${here[@]}" --named-value-id team --value red --output none
check red apim nv show-secret "${here[@]}" --named-value-id team --query value

"$az" apim nv delete "${here[@]}" --named-value-id team --yes
check '' apim nv list "${here[@]}" --query '[].name'
"$az" apim product api delete "${here[@]}" --product-id gold --api-id azureml-demo
check '' apim product api list "${here[@]}" --product-id gold --query '[].name'
"$az" apim product delete "${here[@]}" --product-id gold --yes
check $'starter\nunlimited' apim product list "${here[@]}" --query '[].name'
"$az" apim api operation delete "${here[@]}" --api-id azureml-demo --operation-id rrs-execute
check '' apim api operation list "${here[@]}" --api-id azureml-demo --query '[].name'
"$az" apim api delete "${here[@]}" --api-id azureml-demo --yes
check echo-api apim api list "${here[@]}" --query '[].name'
"$az" apim delete --resource-group demo-rg --name "$service" --yes
check "$service" apim deletedservice list --query '[].name'
"$az" apim deletedservice purge --service-name "$service" --location westus
check true apim check-name --name "$service" --query nameAvailable

# The other two ways in: an application as a managed identity, and as a service principal.
tenant=00000000-0000-0000-0000-000000000000
"$az" logout --output none
IDENTITY_HEADER=$client_id:$client_secret
"$az" login --identity --allow-no-subscriptions --output none
check true apim check-name --name "$service" --query nameAvailable
"$az" logout --output none
unset IDENTITY_ENDPOINT IDENTITY_HEADER
"$az" login --service-principal --username "$client_id" --password "$client_secret" --tenant "$tenant" --allow-no-subscriptions --output none
check "$client_id" account show --query user.name
check true apim check-name --name "$service" --query nameAvailable
echo "$checked answers checked"
